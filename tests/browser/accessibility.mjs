// What every page must offer to somebody who uses a keyboard, a screen reader or a telephone.

import assert from "node:assert/strict";

export async function checkAccessibility(page, name) {
  const before = page.viewportSize();
  await page.setViewportSize({ width: 375, height: 720 });
  const found = await page.evaluate(() => {
    const visible = (element) => element.checkVisibility?.({ visibilityProperty: true }) ?? true;
    const named = (element) =>
      (element.getAttribute("aria-label") ?? "").trim() !== "" ||
      element.getAttribute("aria-labelledby") !== null ||
      element.textContent.trim() !== "" ||
      element.title !== "";
    const fields = [...document.querySelectorAll("input:not([type=hidden]), select, textarea")];
    const controls = [...document.querySelectorAll("a[href], button")];
    const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
    const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map((heading) => Number(heading.tagName[1]));
    return {
      headlines: document.querySelectorAll("h1").length,
      language: document.documentElement.lang,
      title: document.title.trim(),
      mains: document.querySelectorAll("main").length,
      viewport: document.querySelector("meta[name=viewport]")?.content ?? "",
      unlabelled: fields.filter((field) => visible(field) && !field.labels?.length && !field.ariaLabel).map((field) => field.outerHTML),
      unnamed: controls.filter((control) => visible(control) && !named(control)).map((control) => control.outerHTML),
      withoutAlternative: [...document.querySelectorAll("img:not([alt])")].map((image) => image.outerHTML),
      repeatedIds: ids.filter((id, at) => ids.indexOf(id) !== at),
      skippedLevels: levels.filter((level, at) => at > 0 && level > levels[at - 1] + 1),
      tabOrder: [...document.querySelectorAll("[tabindex]")].filter((element) => element.tabIndex > 0).length,
      tooWide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      wide: [...document.querySelectorAll("body *")]
        .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .map((element) => element.tagName)
        .slice(0, 3),
    };
  });
  assert.equal(found.headlines, 1, `${name}: one h1`);
  assert.equal(found.mains, 1, `${name}: one main`);
  assert.notEqual(found.language, "", `${name}: lang`);
  assert.notEqual(found.title, "", `${name}: title`);
  assert.match(found.viewport, /width=device-width/, `${name}: viewport`);
  assert.deepEqual(found.unlabelled, [], `${name}: every field has a label`);
  assert.deepEqual(found.unnamed, [], `${name}: every link and button has a name`);
  assert.deepEqual(found.withoutAlternative, [], `${name}: every image has an alternative`);
  assert.deepEqual(found.repeatedIds, [], `${name}: ids are unique`);
  assert.deepEqual(found.skippedLevels, [], `${name}: headings skip no level`);
  assert.equal(found.tabOrder, 0, `${name}: Tab follows the page`);
  assert.ok(found.tooWide <= 0, `${name}: no scrolling sideways at 375 px (${found.wide})`);
  await checkKeyboard(page, name);
  await checkContrast(page, name);
  if (before) await page.setViewportSize(before);
}

/** Tab reaches every link, button and field, in the order of the page, and shows where it is. */
async function checkKeyboard(page, name) {
  const all = await page.evaluate(() => {
    const reachable = "a[href], button:not([disabled]), input:not([type=hidden]):not([disabled]), select, textarea, summary, [tabindex=\"0\"]";
    const elements = [...document.querySelectorAll(reachable)].filter((element) => element.checkVisibility());
    elements.forEach((element, at) => (element.dataset.tabStop = String(at)));
    document.activeElement?.blur?.();
    window.getSelection()?.removeAllRanges();
    return elements.length;
  });
  const stops = [];
  for (let press = 0; press < all; press += 1) {
    await page.keyboard.press("Tab");
    stops.push(
      await page.evaluate(() => {
        const { activeElement: element } = document;
        const style = getComputedStyle(element);
        const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
        return { at: Number(element.dataset.tabStop ?? -1), shown: outlined || style.boxShadow !== "none" };
      }),
    );
  }
  const order = stops.map((stop) => stop.at);
  assert.deepEqual([...order].sort((a, b) => a - b), [...Array(all).keys()], `${name}: Tab reaches everything`);
  // From wherever the page itself put the focus, round and round.
  const first = order.indexOf(0);
  assert.deepEqual([...order.slice(first), ...order.slice(0, first)], [...Array(all).keys()], `${name}: in order`);
  assert.deepEqual(stops.filter((stop) => !stop.shown), [], `${name}: the focus is visible`);
}

/** WCAG 2.1 section 1.4.3: text has 4.5 times the contrast of what is behind it, large text 3 times. */
async function checkContrast(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const faint = await page.evaluate(() => {
      const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      const read = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
        return { channels: [red, green, blue], alpha };
      };
      const luminance = (channels) => {
        const [red, green, blue] = channels.map((value) => {
          const part = value / 255;
          return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      };
      const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
          const color = read(getComputedStyle(at).backgroundColor);
          if (color.alpha === 255) return color.channels;
        }
        return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
      };
      const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      const faint = [];
      while (texts.nextNode()) {
        const text = texts.currentNode.textContent.trim();
        const element = texts.currentNode.parentElement;
        if (text === "" || ["STYLE", "SCRIPT", "NOSCRIPT"].includes(element.tagName) || !element.checkVisibility()) continue;
        const style = getComputedStyle(element);
        const [light, dark] = [luminance(read(style.color).channels), luminance(behind(element))].sort((a, b) => b - a);
        const contrast = (light + 0.05) / (dark + 0.05);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        if (contrast < (large ? 3 : 4.5)) faint.push(`${contrast.toFixed(2)}: ${text.slice(0, 40)}`);
      }
      return faint;
    });
    assert.deepEqual(faint, [], `${name}, ${colorScheme}: enough contrast`);
  }
  await page.emulateMedia({ colorScheme: null });
}
