// Writes docs/status-page.svg, the picture in the README, from the real page: node picture.mjs DEMO > picture.svg
// The SVG contains the page and its stylesheet, so it is sharp at any size and follows light and dark mode.
import { chromium } from 'playwright-core';

const [demo] = process.argv.slice(2);
const [width, height] = [1280, 1200];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  const page = await browser.newPage({ viewport: { width, height } });
  const states = async () => (await (await fetch(`${demo}/api/v1/connections?per_page=1`)).json()).overview.states;
  // Ambiguous refusals appear after their second probe.
  for (let tries = 0; tries < 120; tries += 1) {
    const { waiting, disconnected } = await states();
    if (waiting === 0 && disconnected > 120) break;
    await new Promise((done) => setTimeout(done, 1000));
  }
  await page.goto(`${demo}/?q=outlet`);
  const icon = await (await fetch(`${demo}/icon.svg`)).text();
  await page.setContent(await page.content().then((html) => html.replaceAll(/<img src="icon.svg"[^>]*>/g, icon.replace('<svg ', '<svg width="28" height="28" '))));
  const style = await (await fetch(`${demo}/style.css`)).text();
  const picture = await page.evaluate(([css, wide, high]) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    // The image can have any width; the page in it keeps its width.
    const kept = [...sheet.cssRules].filter((rule) => !/width|print|forced/.test(rule.conditionText ?? rule.media?.mediaText ?? ''));
    const rules = kept.map((rule) => rule.cssText.replace(/^html\b/, ':root').replaceAll('3vw', '38px').replaceAll('1.2vw', '15px'));
    const body = document.body;
    for (const gone of body.querySelectorAll('.skip, [href]')) gone.matches('.skip') ? gone.remove() : gone.setAttribute('href', '#');
    const text = new XMLSerializer().serializeToString(body);
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${wide} ${high}" width="${wide}" height="${high}" role="img">` +
      `<title>The status page: what is disconnected, why, and what to do</title>` +
      `<style>${rules.join('\n').replaceAll('&', '&amp;').replaceAll('<', '&lt;')}\nbody { height: ${high}px; overflow: hidden; }</style>` +
      `<foreignObject width="100%" height="100%">${text}</foreignObject></svg>\n`;
  }, [style, width, height]);
  process.stdout.write(picture);
} finally {
  await browser.close();
}
