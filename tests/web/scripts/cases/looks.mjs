// Every view in both themes, on a screen and on a telephone: axe finds nothing, nothing hangs over the edge. WEB_SHOTS=FOLDER keeps pictures.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Line, Server, axePath, browser, check, file, open, phaseIs, stored, until } from '../harness.mjs';

const MIB = 1 << 20;

async function examined(page, name) {
  await page.waitForTimeout(350);
  if (process.env.WEB_SHOTS) {
    mkdirSync(process.env.WEB_SHOTS, { recursive: true });
    await page.screenshot({ path: join(process.env.WEB_SHOTS, `${name}.png`) });
  }
  await page.addScriptTag({ path: axePath }).catch(() => {});
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(`${await import('node:fs').then((fs) => fs.readFileSync(axePath, 'utf8'))}`);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ''}`).join(' | ')}`);
  check.equal(found, [], name);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(over <= 0, `${name}: ${over} px wider than the screen`);
}

export async function looks({ atEnd }) {
  const server = await Server.start();
  atEnd(() => server.kill());
  const line = await Line.before(server);
  atEnd(() => line.close());
  const context = await browser({ bypassCSP: true });
  atEnd(() => context.close());
  const sizes = { screen: { width: 1200, height: 820 }, phone: { width: 390, height: 844 } };
  const each = async (page, name, act = async () => {}) => {
    for (const [size, viewport] of Object.entries(sizes)) {
      for (const scheme of ['light', 'dark']) {
        await page.setViewportSize(viewport);
        await page.emulateMedia({ colorScheme: scheme });
        await act();
        await examined(page, `${name}-${size}-${scheme}`);
      }
    }
  };

  const page = context.pages()[0];
  await page.goto(line.base);
  await page.waitForSelector('#password');
  await each(page, 'login');
  await open(context, line.base, { logIn: false }).catch(() => {});
  await page.goto(line.base);
  await page.fill('#password', 'correct horse');
  await page.click('button[type=submit]');
  await page.waitForSelector('.drop');
  await each(page, 'empty');

  // One that another client left behind, one that fails, two that are done, and one on its way.
  const jobData = JSON.stringify({ name: 'windows-server-2022', url: 'upload://windows-server-2022.raw', format: 'raw' });
  const { inventory } = await server.call('POST', '/zstack/v1/longjobs', {
    params: { jobName: 'APIAddImageMsg', name: 'windows-server-2022', jobData }, systemTags: ['uploadImage::left', `imageSize::${64 * MIB}`] });
  const url = JSON.parse(inventory.jobResult).inventory.backupStorageRefs[0].installPath;
  const head = Buffer.alloc(22 * MIB);
  await fetch(url, { method: 'PUT', body: head, headers: { 'Content-Range': `bytes 0-${head.length - 1}/${64 * MIB}` } });
  const named = (name, size) => ({ name, path: file(name, size) });
  const done = [named('alpine-virt-3.20.raw', 3 * MIB), named('ubuntu-24.04-server-cloudimg-amd64.raw', 9 * MIB)];
  await page.setInputFiles('#files', done.map(({ path }) => path));
  await phaseIs(page, 'ready', 60, 0);
  await phaseIs(page, 'ready', 60, 1);
  await page.setInputFiles('#files', [{ name: 'empty.raw', mimeType: 'application/octet-stream', buffer: Buffer.alloc(0) }]);
  line.rate = 5 * MIB;
  const big = named('debian-12-generic-amd64.raw', 600 * MIB);
  await page.setInputFiles('#files', [big.path]);
  await until('it is on its way', async () => (await server.uploadStates()).some((state) => state.length === 600 * MIB && state.storedBytes > 8 * MIB), 60);
  await page.waitForTimeout(6000);
  await each(page, 'sending');
  await page.locator('.upload details').first().evaluate((one) => { one.open = true; });
  await page.locator('.upload details').last().evaluate((one) => { one.open = true; });
  await page.waitForTimeout(300);
  await each(page, 'details');
  await page.locator('.left').getByRole('button', { name: 'Discard' }).click();
  await each(page, 'confirm');
  await page.keyboard.press('Escape');

  for (const view of ['jobs', 'images', 'schedule']) {
    await page.goto(`${line.base}/#/${view}`);
    await page.waitForTimeout(600);
    await each(page, view);
    if (view === 'schedule') continue;
    await page.locator('.row-name').last().click();
    await page.locator('dialog .dialog-name').waitFor();
    await each(page, `${view}-dialog`);
    await page.keyboard.press('Escape');
    await page.getByRole('searchbox').fill('no such name');
    await page.waitForTimeout(400);
    await each(page, `${view}-nothing`);
  }
  await page.goto(`${line.base}/#/uploads`);
  await page.locator('header .tools button', { hasText: '中文' }).click();
  await page.waitForTimeout(300);
  check.equal(await page.evaluate(() => document.documentElement.lang), 'zh-CN');
  await each(page, 'chinese');
  const missing = await page.evaluate(async () => {
    const [{ default: en }, { default: zh }] = await Promise.all([import('/ui/words.en.js'), import('/ui/words.zh.js')]);
    const holes = (words) => (words.match(/\{\w+\}/g) ?? []).sort().join();
    return Object.keys({ ...en, ...zh }).filter((key) => !(key in en) || !(key in zh) || holes(en[key]) !== holes(zh[key]));
  });
  check.equal(missing, [], 'words that one language lacks');
  // Nothing moves by itself: an animation without an end keeps a processor busy for as long as an upload takes.
  const moving = await page.evaluate(() => document.getAnimations().filter((one) => one.effect.getTiming().iterations === Infinity).length);
  check.equal(moving, 0);
  check((await stored(server)) > 0);
}

/** Every control can be reached by Tab alone, and shows that it has the focus. */
export async function keyboard({ atEnd }) {
  const server = await Server.start();
  atEnd(() => server.kill());
  const context = await browser();
  atEnd(() => context.close());
  const page = await open(context, server.base);
  const wanted = new Set(await page.locator('a:visible, button:visible').evaluateAll((all) => all.filter((one) => !one.disabled && !one.classList.contains('skip')).map((one) => one.textContent.trim() || one.getAttribute('aria-label'))));
  const reached = new Set();
  for (let step = 0; step < 40; step += 1) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const { activeElement: one } = document;
      const style = getComputedStyle(one);
      return { name: one.textContent.trim() || one.getAttribute('aria-label'), seen: style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) >= 2, body: one === document.body };
    });
    if (at.body) continue;
    if (wanted.has(at.name)) reached.add(at.name);
    check(at.seen, `${at.name} does not show its focus`);
  }
  check.equal([...wanted].filter((name) => !reached.has(name)), []);
  await page.keyboard.press('Tab');
  await page.goto(`${server.base}/#/jobs`);
  check.equal(await page.evaluate(() => document.activeElement.id), 'main', 'a new view takes the focus');
}

/** Whoever does not see the page hears what happens, keeps the focus, and strange addresses show a view all the same. */
export async function spoken({ atEnd }) {
  const server = await Server.start();
  atEnd(() => server.kill());
  const line = await Line.before(server);
  atEnd(() => line.close());
  line.rate = 8 * MIB;
  const context = await browser();
  atEnd(() => context.close());
  const page = await open(context, line.base);
  check.equal(await page.locator('#said[aria-live=polite]').count(), 1, 'it is there before it says anything');
  await page.evaluate(() => {
    globalThis.spoken = [];
    new MutationObserver(() => globalThis.spoken.push(document.getElementById('said').textContent)).observe(document.getElementById('said'), { childList: true, characterData: true, subtree: true });
  });
  const hears = (words) => until(`"${words}" is spoken`, () => page.evaluate((wanted) => globalThis.spoken.some((one) => one.includes(wanted)), words), 20);
  await page.setInputFiles('#files', [file('heard.raw', 24 * MIB)]);
  await phaseIs(page, 'sending');
  const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.tagName);
  await page.locator('.upload').getByRole('button', { name: 'Pause' }).focus();
  await page.keyboard.press('Enter');
  await phaseIs(page, 'paused');
  await hears('heard.raw: Paused.');
  await until('Resume has the focus', async () => (await focused()) === 'Resume');
  await page.keyboard.press('Enter');
  await phaseIs(page, 'sending');
  line.rate = Infinity;
  await phaseIs(page, 'ready');
  await hears('heard.raw: Ready.');

  // A notice beside an open dialog is in it: what is outside cannot be heard.
  await page.goto(`${line.base}/#/images`);
  await page.locator('.row-name').click();
  await page.locator('dialog .copyable button').first().click();
  await page.locator('dialog .toasts .toast', { hasText: 'Copied' }).waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#toasts .toast', { hasText: 'Copied' }).waitFor();
  await page.locator('tbody').getByRole('button', { name: 'Delete' }).focus();
  await page.keyboard.press('Enter');
  await page.locator('dialog').getByRole('button', { name: 'Delete' }).click();
  await until('the list is empty', async () => (await page.locator('tbody tr').count()) === 0);
  check((await focused()) !== 'BODY', 'the focus is not lost with the row');

  for (const [hash, view] of [['#/jobs/%', 'jobs'], ['#/constructor', 'uploads'], ['#/__proto__', 'uploads'], ['#', 'uploads']]) {
    await page.goto(`${line.base}/${hash}`);
    await until(`${hash} shows ${view}`, () => page.evaluate((name) => document.querySelector('nav [aria-current]')?.dataset.view === name && document.querySelector('main .view') !== null, view), 10);
    await page.keyboard.press('Escape');
  }
  check.equal(context.amiss, []);
}

/** The pictures of the README and of docs/page.md, into WEB_SHOTS; no suite runs it. */
export async function pictures({ atEnd }) {
  const server = await Server.start();
  atEnd(() => server.kill());
  const line = await Line.before(server);
  atEnd(() => line.close());
  const context = await browser({ viewport: { width: 1120, height: 830 } });
  atEnd(() => context.close());
  const page = await open(context, line.base);
  const jobData = JSON.stringify({ name: 'windows-server-2022', url: 'upload://windows-server-2022.raw', format: 'raw' });
  const { inventory } = await server.call('POST', '/zstack/v1/longjobs', {
    params: { jobName: 'APIAddImageMsg', name: 'windows-server-2022', jobData }, systemTags: ['uploadImage::left', `imageSize::${64 * MIB}`] });
  const head = Buffer.alloc(22 * MIB);
  await fetch(JSON.parse(inventory.jobResult).inventory.backupStorageRefs[0].installPath, { method: 'PUT', body: head, headers: { 'Content-Range': `bytes 0-${head.length - 1}/${64 * MIB}` } });
  await page.setInputFiles('#files', [file('debian-12-generic-amd64.raw', 700 * MIB), file('alpine-virt-3.20.raw', 3 * MIB)]);
  await phaseIs(page, 'ready', 60, 1);
  line.rate = 9 * MIB;
  await page.waitForTimeout(20_000);
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.waitForTimeout(1500);
    await page.screenshot({ path: join(process.env.WEB_SHOTS, `page-${scheme}.png`) });
  }
  check((await stored(server)) > 0);
}
