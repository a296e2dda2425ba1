// What the page does with scripts: it shows times in the reader's zone, and refreshes itself each minute. Without
// scripts, times are in UTC.

const INTERVAL = 60_000;
const main = document.querySelector('main');
const stale = document.querySelector('#stale');
const clock = { hour: '2-digit', minute: '2-digit' };
let shown = new Date();

// Each time keeps its precision: a date, a date with hours and minutes, or one with seconds, too.
function localize(root) {
  for (const time of root.querySelectorAll('time')) {
    const colons = time.textContent.split(':').length - 1;
    const precision = { ...(colons > 0 && clock), ...(colons > 1 && { second: '2-digit' }) };
    const options = { day: 'numeric', month: 'short', year: 'numeric', ...precision };
    time.textContent = new Date(time.dateTime).toLocaleString('en-GB', options);
  }
}

// Nobody's field, selection or place on the page is taken away.
function isBusy() {
  return document.hidden || document.activeElement?.matches('input, select') || String(getSelection()) !== '';
}

async function load() {
  const answer = await fetch(location.href, { signal: AbortSignal.timeout(INTERVAL / 2) });
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  if (!page.querySelector('main')) throw new Error('not a page of the exporter');
  return page;
}

async function refresh() {
  if (isBusy()) return;
  const page = await load().catch(() => null);
  if (!page) {
    stale.textContent = `This page could not be refreshed. It shows the state of ${shown.toLocaleTimeString('en-GB', clock)}.`;
    return;
  }
  if (isBusy()) return;
  const focused = document.activeElement;
  const content = page.querySelector('main');
  localize(content);
  // The form keeps what was entered, and whether its filters are open.
  const form = main.querySelector('form');
  if (form) content.querySelector('form')?.replaceWith(form);
  main.replaceChildren(...content.childNodes);
  const link = focused?.getAttribute('href');
  const same = focused?.isConnected ? focused : link && main.querySelector(`a[href="${CSS.escape(link)}"]`);
  same?.focus({ preventScroll: true });
  document.title = page.title;
  stale.textContent = '';
  shown = new Date();
}

localize(document);
const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
document.querySelector('#zone').textContent = `Times are in your time zone (${timeZone}). Point at one for UTC.`;
setInterval(refresh, INTERVAL);
document.addEventListener('visibilitychange', refresh);
