// What every page must be for the people who use it.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SIZES = [
  { width: 1440, height: 900 },
  { width: 768, height: 1024 },
  { width: 390, height: 844 },
];
const { LOGIN_SCREENSHOTS } = process.env;

/**
 * Looks at a page on a desk and on a telephone, light and dark: it is titled, in a language, fits the width, and
 * is accessible as far as a program can tell. Pictures go to the folder LOGIN_SCREENSHOTS, for people to look at.
 */
export async function inspect(page, name) {
  // What is asked for is there.
  await page.locator('[data-pending], [aria-busy=true]').first().waitFor({ state: 'detached' });
  assert.notEqual((await page.title()).trim(), '', `${name} has no title`);
  assert.match(await page.locator('html').getAttribute('lang'), /^en\b/, `${name} has no language`);
  for (const size of SIZES) {
    await page.setViewportSize(size);
    let seen;
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      const where = `${name}, ${size.width} pixels wide, ${colorScheme}`;
      const width = await page.evaluate(() => document.scrollingElement.scrollWidth);
      assert.ok(width <= size.width, `${where}: scrolls sideways (${width})`);
      assert.deepEqual(await brokenWords(page), [], `${where}: words are broken`);
      assert.deepEqual(await violations(page), [], where);
      if (!LOGIN_SCREENSHOTS) continue;
      const picture = await page.screenshot();
      if (seen?.equals(picture)) continue;
      seen = picture;
      mkdirSync(LOGIN_SCREENSHOTS, { recursive: true });
      const file = [name, `${size.width}x${size.height}`, ...(colorScheme === 'dark' ? ['dark'] : [])].join('-');
      await page.screenshot({ path: join(LOGIN_SCREENSHOTS, `${file}.png`) });
    }
  }
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
  await page.setViewportSize(SIZES[0]);
}

/** Words of headings and controls that do not stand on one line. */
function brokenWords(page) {
  return page.evaluate(() => {
    const broken = [];
    for (const element of document.querySelectorAll('h1, h2, label, button, a')) {
      // Addresses are broken where there is no room.
      if (element.textContent.includes('@')) continue;
      const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        for (const word of texts.currentNode.data.matchAll(/\p{L}+/gu)) {
          const range = document.createRange();
          range.setStart(texts.currentNode, word.index);
          range.setEnd(texts.currentNode, word.index + word[0].length);
          if (range.getClientRects().length > 1) broken.push(word[0]);
        }
      }
    }
    return broken;
  });
}

/** What axe says against the page. */
async function violations(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run());
  return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(' ')}`);
}

/**
 * Goes through the page with Tab, from its beginning; returns the names of all stops. Every control is one of
 * them, and each looks different with the focus on it.
 */
export async function tabThrough(page) {
  await page.evaluate(() => {
    document.activeElement.blur();
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute('tabindex');
  });
  const stops = [];
  for (;;) {
    await page.keyboard.press('Tab');
    const focused = page.locator('*:focus');
    if ((await focused.count()) === 0) break;
    const again = await focused.evaluate((element) => element.dataset.stop !== undefined);
    if (again) break;
    const name = await focused.evaluate((element, stop) => {
      element.dataset.stop = stop;
      return (element.labels?.[0] ?? element).innerText.trim();
    }, stops.length);
    const box = await focused.boundingBox();
    const clip = {
      x: Math.max(0, box.x - 8),
      y: Math.max(0, box.y - 8),
      width: box.width + 16,
      height: box.height + 16,
    };
    const withFocus = await page.screenshot({ clip });
    await focused.evaluate((element) => element.blur());
    assert.ok(!withFocus.equals(await page.screenshot({ clip })), `the focus cannot be seen on “${name}”`);
    await page.locator(`[data-stop="${stops.length}"]`).focus();
    stops.push(name);
    assert.ok(stops.length < 100, 'the focus never leaves the page');
  }
  const missed = await page
    .locator(':is(a[href], button, input:not([type=hidden]), select):visible:not([data-stop])')
    .allInnerTexts();
  assert.deepEqual(missed, [], 'out of reach of the keyboard');
  return stops;
}
