// Uses the status page like a person: node page.mjs DEMO EMPTY NASTY, each the address of a running exporter.
// Exits with 1 and a message if a check fails, anything is logged to the console, or axe finds a violation.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const [demo, empty, nasty] = process.argv.slice(2);
const sheets = [
  { name: 'light', viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
  { name: 'dark', viewport: { width: 1280, height: 800 }, colorScheme: 'dark' },
  { name: 'phone', viewport: { width: 360, height: 740 }, colorScheme: 'light', hasTouch: true },
  { name: '4k', viewport: { width: 3840, height: 2160 }, colorScheme: 'dark' },
];
// Chromium's sandbox does not work for root, and tests in containers often run as root.
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
// The page's content security policy forbids injected scripts, so axe gets pages of its own.
const open = async (sheet, options) => {
  const context = await browser.newContext({ ...sheet, name: undefined, ...options });
  const page = await context.newPage();
  page.said = [];
  page.on('console', (message) => page.said.push(message.text()));
  page.on('pageerror', (error) => page.said.push(String(error)));
  page.on('request', (request) => request.url().startsWith(page.site) || page.said.push(`asked elsewhere: ${request.url()}`));
  page.setDefaultTimeout(60_000);
  return page;
};
const go = async (page, site, path) => {
  page.site = site;
  return page.goto(site + path);
};
const names = (page) => page.locator('tbody a.name').allInnerTexts();
const times = (page) => page.locator('time').evaluateAll((all) => all.map(({ dateTime, title, textContent }) => ({ at: dateTime, title, text: textContent })));
const count = async (page) => Number((await page.locator('#found').innerText()).match(/([\d,]+) connection/)[1].replace(',', ''));

try {
  // With a mouse: a tile, a filter, a search, a page, an account, and back.
  let page = await open(sheets[0], { javaScriptEnabled: false });
  await go(page, demo, '/');
  const all = await count(page);
  assert.ok(all > 200, `the demo has ${all} connections`);
  assert.match(await page.locator('h1').innerText(), /^\d+ of \d+ connections are disconnected$/);
  await page.locator('.tile', { hasText: 'Disconnected' }).click();
  assert.match(page.url(), /\?state=disconnected$/);
  const disconnected = await count(page);
  assert.ok(disconnected < all && disconnected > 50);
  assert.equal(await page.locator('tbody .badge.disconnected').count(), (await names(page)).length);
  assert.ok(await page.locator('details[open]').isVisible(), 'what is in force is in sight');
  await page.getByLabel('Network').selectOption({ label: 'Facebook' });
  await page.getByLabel('Reason').selectOption('password_changed');
  await page.getByRole('button', { name: 'Show' }).click();
  assert.match(page.url(), /state=disconnected/);
  assert.match(page.url(), /network=facebook/);
  const changed = await names(page);
  assert.ok(changed.length > 0 && changed.length < disconnected);
  for (const kind of await page.locator('tbody .name + .quiet').allInnerTexts()) assert.match(kind, /^Facebook /);
  await page.getByRole('link', { name: 'Remove the filter Reason' }).click();
  assert.ok(await count(page) > changed.length);
  await page.getByRole('link', { name: 'Remove all' }).click();
  assert.equal(await count(page), all);
  await page.getByRole('searchbox', { name: 'Search' }).fill('chloé');
  await page.getByRole('button', { name: 'Show' }).click();
  assert.ok((await count(page)) > 0);
  assert.ok((await page.locator('tbody').allInnerTexts()).every((row) => row.includes('Chloé')));
  await go(page, demo, '/?per_page=25');
  const first = await names(page);
  await page.getByRole('link', { name: 'Next', exact: true }).click();
  assert.match(await page.locator('.pages [aria-current=page]').innerText(), /^Page 2 of \d+$/);
  const second = await names(page);
  assert.equal(second.length, 25);
  await page.getByRole('link', { name: 'Previous' }).click();
  assert.deepEqual(await names(page), first);
  await page.locator('a.name').first().click();
  assert.equal(await page.locator('h1').innerText(), first[0]);
  assert.ok(await page.getByRole('heading', { name: 'What to do' }).isVisible());
  assert.ok((await page.locator('#do li').count()) > 0);
  assert.match(await page.getByRole('link', { name: 'Reconnect' }).getAttribute('href'), /^https:\/\/app\.example\.com\//);
  await page.getByRole('link', { name: 'All connections' }).click();
  assert.equal(await count(page), all);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'CSV', exact: true }).click()]);
  assert.equal(download.suggestedFilename(), 'connections.csv');
  // Without scripts, times are in UTC.
  assert.match(await page.locator('footer').innerText(), /Times are in UTC\./);
  const utc = await times(page);
  assert.ok(utc.length > 20);
  for (const { title, text } of utc) assert.equal(title.split(',')[0], text.split(',')[0]);
  assert.deepEqual(page.said, []);
  await page.context().close();

  // With scripts, times are in the reader's zone.
  const timeZone = 'America/Los_Angeles';
  page = await open({ ...sheets[0], timezoneId: timeZone });
  await page.clock.install();
  await go(page, demo, '/?expires_within=60d&per_page=25');
  assert.match(await page.locator('footer').innerText(), /time zone \(America\/Los_Angeles\)/);
  const timesAreLocal = async () => {
    const local = await times(page);
    assert.ok(local.length > 20);
    const precisions = new Set();
    for (const { at, title, text } of local) {
      const written = (zone, precision) => {
        const clock = precision > 0 && { hour: '2-digit', minute: '2-digit', ...(precision > 1 && { second: '2-digit' }) };
        return new Date(at).toLocaleString('en-GB', { timeZone: zone, day: 'numeric', month: 'short', year: 'numeric', ...clock });
      };
      const precision = text.split(':').length - 1;
      precisions.add(precision);
      assert.equal(text, written(timeZone, precision));
      assert.equal(title, `${written('UTC', 1).replace('Sept', 'Sep')} UTC`);
    }
    assert.deepEqual([...precisions].sort(), [0, 1, 2]);
  };
  await timesAreLocal();

  // The page refreshes itself, and leaves alone what somebody is doing.
  const mark = () => page.evaluate(() => { document.querySelector('h1').dataset.old = 'yes'; });
  const minute = () => page.clock.runFor(61_000);
  const refreshed = () => page.locator('h1[data-old]').waitFor({ state: 'detached' });
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  const kept = async (why) => {
    requests.length = 0;
    await mark();
    await minute();
    await minute();
    assert.deepEqual(requests, [], why);
    assert.equal(await page.locator('h1[data-old]').count(), 1, why);
  };
  await mark();
  await minute();
  await refreshed();
  assert.deepEqual(new Set(requests), new Set([`${demo}/?expires_within=60d&per_page=25`]), 'one address, this page');
  await timesAreLocal();
  await page.locator('#q').fill('half a wo');
  await kept('somebody types');
  await page.locator('select').first().focus();
  await kept('somebody chooses');
  await page.locator('summary').click();
  const nearby = page.locator('a.name').nth(1);
  const address = await nearby.getAttribute('href');
  await nearby.focus();
  await mark();
  await minute();
  await refreshed();
  assert.equal(await page.locator('#q').inputValue(), 'half a wo');
  assert.equal(await page.locator('details[open]').count(), 0, 'what was closed stays closed');
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('href')), address, 'the focus stays');
  await page.evaluate(() => getSelection().selectAllChildren(document.querySelector('h1')));
  await kept('somebody copies');
  await page.evaluate(() => getSelection().removeAllRanges());
  const hide = (hidden) => page.evaluate((value) => {
    Object.defineProperty(document, 'hidden', { value, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  await hide(true);
  await kept('nobody looks');
  await hide(false);
  await refreshed();
  assert.deepEqual(page.said, []);
  // A page that cannot be refreshed says so.
  const stale = page.locator('#stale');
  assert.equal(await stale.isVisible(), false);
  for (const trouble of [(route) => route.abort(), (route) => route.fulfill({ status: 503, contentType: 'text/plain', body: 'shutting down' })]) {
    await page.route('**/*', trouble);
    await minute();
    await stale.waitFor({ state: 'visible' });
    assert.match(await stale.innerText(), /could not be refreshed\. It shows the state of \d\d:\d\d\.$/);
    assert.ok((await names(page)).length > 0, 'what is known stays');
    await page.unroute('**/*');
    await minute();
    await stale.waitFor({ state: 'hidden' });
  }
  await page.context().close();

  // With the keyboard: skip to the content, search, open the first account, come back.
  page = await open(sheets[0]);
  await go(page, demo, '/');
  const focused = () => page.evaluate(() => document.activeElement?.textContent.trim() || document.activeElement?.id);
  const tabTo = async (wanted, key = 'Tab') => {
    for (let presses = 0; presses < 60; presses += 1) {
      await page.keyboard.press(key);
      // The focused element is visible and marked as focused.
      const seen = await page.evaluate(() => {
        const { outlineStyle } = getComputedStyle(document.activeElement);
        const { width, height, top } = document.activeElement.getBoundingClientRect();
        return { outlineStyle, there: width > 0 && height > 0 && top > -1 };
      });
      assert.deepEqual(seen, { outlineStyle: 'solid', there: true }, await focused());
      if (await page.evaluate(wanted)) return;
    }
    assert.fail(`not reached by keys: ${wanted}`);
  };
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Skip to content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  await tabTo(() => document.activeElement.id === 'q');
  await page.keyboard.type('acme');
  await Promise.all([page.waitForURL(/q=acme/), page.keyboard.press('Enter')]);
  assert.ok((await names(page)).length > 0 && (await count(page)) < all);
  await tabTo(() => document.activeElement.tagName === 'SUMMARY');
  await page.keyboard.press('Enter');
  await tabTo(() => document.activeElement.name === 'state');
  await page.keyboard.press('D');
  await tabTo(() => document.activeElement.textContent === 'Show', 'Shift+Tab');
  await Promise.all([page.waitForURL(/state=disconnected/), page.keyboard.press('Enter')]);
  const lost = await names(page);
  assert.ok(lost.length > 0);
  await tabTo(() => document.activeElement.className === 'name');
  await Promise.all([page.waitForURL(/\/account\?id=/), page.keyboard.press('Enter')]);
  assert.equal(await page.locator('h1').innerText(), lost[0]);
  await tabTo(() => document.activeElement.textContent === 'All connections');
  await Promise.all([page.waitForURL((url) => url.pathname.endsWith('/')), page.keyboard.press('Enter')]);
  assert.equal(await count(page), all);
  assert.deepEqual(page.said, []);
  await page.context().close();

  // Markup in names stays text.
  page = await open(sheets[0]);
  await go(page, nasty, '/');
  assert.deepEqual(await names(page), ['<b>Bold</b> <script>document.title=1</script>']);
  await page.locator('a.name').click();
  assert.equal(await page.locator('h1').innerText(), '<b>Bold</b> <script>document.title=1</script>');
  assert.ok((await page.locator('body').innerText()).includes('"><img src=x onerror=alert(1)>'));
  assert.ok((await page.locator('body').innerText()).includes('\\u{202e}bew'), 'nothing is written backwards');
  assert.ok((await page.locator('.notice').last().innerText()).includes('config.yaml:20:7: accounts[20]: <b>not</b> an account'));
  assert.match(await page.locator('.notice').last().innerText(), /9 more: /);
  assert.equal(await page.locator('h1 b, main script, main img, .notice b').count(), 0);
  assert.deepEqual(page.said, []);
  await page.context().close();

  // Each kind of page, in each colour scheme and layout.
  const account = async (state) => {
    const answer = await (await fetch(`${demo}/api/v1/connections?per_page=1&state=${state}`)).json();
    return `/account?id=${encodeURIComponent(answer.connections[0].account)}`;
  };
  const kinds = [
    ['list', demo, '/?per_page=20', 200],
    ['filtered', demo, '/?state=disconnected&network=facebook&per_page=10', 200],
    ['logins', demo, '/?q=outlets&per_page=5', 200],
    ['unverified', demo, '/?state=unverified&per_page=5', 200],
    ['nothing matches', demo, '/?q=nobody', 200],
    ['disconnected account', demo, await account('disconnected'), 200],
    ['degraded account', demo, await account('degraded'), 200],
    ['unverified account', demo, await account('unverified'), 200],
    ['connected account', demo, await account('connected'), 200],
    ['no accounts', empty, '/', 200],
    ['markup', nasty, '/', 200],
    ['bad query', demo, '/?network=myspace&page=0', 400],
    ['unknown account', demo, '/account?id=nobody', 404],
  ];
  const violations = [];
  for (const sheet of sheets) {
    page = await open(sheet, { bypassCSP: true });
    for (const [kind, site, path, status] of kinds) {
      const answer = await go(page, site, path);
      assert.equal(answer.status(), status, kind);
      // The browser itself logs error responses; nothing else may be logged.
      assert.deepEqual(page.said.splice(0).filter((text) => !text.includes(`status of ${status} `)), [], kind);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${kind} is wider than the ${sheet.name} screen by ${wide}`);
      // Axe's results depend on colours and layout; the largest screen has none of its own.
      if (sheet.name === '4k') continue;
      await page.addScriptTag({ path: axe });
      const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
      const result = await page.evaluate((values) => globalThis.axe.run({ runOnly: { type: 'tag', values } }), tags);
      assert.ok(result.passes.length > 10, `axe looked at ${kind}`);
      for (const { id, help, nodes } of result.violations) violations.push(`${kind}, ${sheet.name}: ${id}: ${help}: ${nodes[0].html} ${nodes[0].failureSummary}`);
    }
    await page.context().close();
  }
  assert.deepEqual(violations, []);
} finally {
  await browser.close();
}
