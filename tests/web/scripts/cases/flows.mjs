// What a person does when nothing goes wrong.

import { readFileSync } from 'node:fs';
import { Server, browser, cards, check, file, open, ownUploads, pause, phaseIs, sha256, stored, until, Line } from '../harness.mjs';

const MIB = 1 << 20;

async function ready({ atEnd, environment }) {
  const server = await Server.start(environment);
  atEnd(() => server.kill());
  const context = await browser();
  atEnd(() => context.close());
  return { server, context };
}

/** Logging in by a wrong and the right password; a small and a large file; digests, download, logging out. */
export async function upload({ atEnd }) {
  const { server, context } = await ready({ atEnd });
  const page = await context.newPage();
  await page.goto(server.base);
  await page.fill('#password', 'wrong');
  await page.click('button[type=submit]');
  await page.waitForFunction(() => document.querySelector('.problem').textContent.includes('wrong'));
  context.amiss.length = 0; // Chromium itself notes the refused login.
  await page.fill('#password', 'correct horse');
  await page.click('button[type=submit]');
  await page.waitForSelector('.drop');

  const [small, large] = [file('tiny.raw', 1024), file('large.raw', 300 * MIB)];
  await page.setInputFiles('#files', [small, large]);
  await phaseIs(page, 'ready', 60, 0);
  await until('the graph is drawn', () => page.locator('.graph-line').evaluate((line) => (line.getAttribute('d') ?? '').length > 20), 60);
  await phaseIs(page, 'ready', 120, 1);
  const images = await server.images();
  const digests = new Map(images.map((image) => [image.actualSize, image.sha256Sum]));
  check.equal(digests.get(1024), await sha256(small));
  check.equal(digests.get(300 * MIB), await sha256(large));
  check((await cards(page)).every((card) => card.numbers.includes('SHA-256 is equal')));

  await page.goto(`${server.base}/#/images`);
  const row = page.locator('tbody tr', { hasText: 'tiny' });
  await row.waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), row.getByRole('button', { name: 'Download' }).click()]);
  check(readFileSync(await download.path()).equals(readFileSync(small)), 'the download is the file');
  await row.getByRole('button', { name: 'Delete' }).click();
  await page.locator('dialog').getByRole('button', { name: 'Delete' }).click();
  await until('the image is gone from the list', async () => (await page.locator('tbody tr').count()) === 1);
  check.equal((await server.images()).length, 1);

  await page.goto(`${server.base}/#/jobs`);
  await page.locator('tbody tr', { hasText: 'large' }).locator('.row-name').click();
  await page.locator('dialog dd', { hasText: digests.get(300 * MIB) }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: /Log out/ }).click();
  await page.waitForSelector('#password');
  check.equal(context.amiss, []);
}

/** Pausing is seen by others, and others' pausing is seen here; cancel removes what was sent; the keyboard is enough. */
export async function control({ atEnd }) {
  const { server, context } = await ready({ atEnd });
  const line = await Line.before(server);
  atEnd(() => line.close());
  line.rate = 12 * MIB;
  const page = await open(context, line.base);
  const path = file('steered.raw', 60 * MIB);
  await page.setInputFiles('#files', [path]);
  await until('bytes are stored', async () => (await stored(server)) > 4 * MIB);
  const pauseButton = page.locator('.upload').getByRole('button', { name: 'Pause' });
  await pauseButton.focus();
  await page.keyboard.press('Enter');
  await phaseIs(page, 'paused');
  const [state] = await server.uploadStates();
  check.equal(state.state, 'Suspended');
  const kept = state.storedBytes;
  await pause(1500);
  check.equal((await server.uploadStates())[0].storedBytes, kept, 'a paused upload takes no bytes');

  await page.locator('.upload').getByRole('button', { name: 'Resume' }).click();
  await until('it goes on', async () => (await stored(server)) > kept);
  await server.call('PUT', `/zstack/v1/longjobs/${state.jobUuid}/actions`, { suspendLongJob: {} });
  const card = await phaseIs(page, 'paused');
  check(card.note.includes('another client'), card.note);
  await page.locator('.upload').getByRole('button', { name: 'Resume' }).click();
  await phaseIs(page, 'sending');

  await page.locator('.upload').getByRole('button', { name: 'Cancel' }).click();
  const sure = page.locator('dialog').getByRole('button', { name: 'Cancel' });
  if (await sure.count()) await sure.click();
  await phaseIs(page, 'canceled');
  await until('nothing is left of it', async () => (await server.uploadStates()).length === 0);
  const { inventories: [job] } = await server.call('GET', `/zstack/v1/longjobs/${state.jobUuid}`);
  check.equal(job.state, 'Canceled');
  // What Chromium notes of slices that were refused because the job was suspended is no fault of the page.
  check.equal(context.amiss.filter((words) => !/status of 4\d\d/.test(words)), []);
}

/** A person paused the upload elsewhere: dropping the file again does not undo that, pressing Resume does. */
export async function paused_elsewhere({ atEnd }) {
  const { server, context } = await ready({ atEnd });
  const line = await Line.before(server);
  atEnd(() => line.close());
  line.rate = 12 * MIB;
  const path = file('left-alone.raw', 40 * MIB);
  const first = await open(context, line.base);
  await first.setInputFiles('#files', [path]);
  await until('bytes are stored', async () => (await stored(server)) > 4 * MIB);
  const [{ jobUuid }] = await server.uploadStates();
  await server.call('PUT', `/zstack/v1/longjobs/${jobUuid}/actions`, { suspendLongJob: {} });
  await phaseIs(first, 'paused');
  await first.close();

  const page = await context.newPage();
  await page.goto(line.base);
  const left = page.locator('.left');
  await left.waitFor();
  check.equal(await left.locator('.badge').textContent(), 'Paused');
  await page.setInputFiles('#files', [path]);
  const card = await phaseIs(page, 'paused');
  check(/Somebody paused/.test(card.note), card.note);
  const [kept] = await server.uploadStates();
  await pause(1500);
  check.equal((await server.uploadStates()).map(({ state, storedBytes }) => [state, storedBytes]), [['Suspended', kept.storedBytes]]);
  line.rate = Infinity;
  await page.locator('.upload[data-phase]').getByRole('button', { name: 'Resume' }).click();
  await phaseIs(page, 'ready', 60);
  const images = await server.images();
  check.equal(images.map((image) => image.sha256Sum), [await sha256(path)]);
  check.equal(context.amiss.filter((words) => !/status of 4\d\d/.test(words)), []);
}

/** Leaving while something is sent is asked about; with the handle of the file one click goes on afterwards. */
export async function one_click({ atEnd }) {
  const { server, context } = await ready({ atEnd });
  const line = await Line.before(server);
  atEnd(() => line.close());
  line.rate = 6 * MIB;
  const first = await open(context, line.base);
  const path = file('handled.raw', 24 * MIB);
  await first.setInputFiles('#files', [path]);
  await until('bytes are stored', async () => (await stored(server)) > 4 * MIB);
  check.equal(context.dialogs, []);
  const closed = first.waitForEvent('close');
  await first.close({ runBeforeUnload: true });
  await closed;
  check.equal(context.dialogs.map((words) => words.split(':')[0]), ['beforeunload']);
  line.rate = Infinity;

  const page = await context.newPage();
  await page.goto(line.base);
  const left = page.locator('.left');
  await left.waitFor();
  check.equal(await left.getByRole('button', { name: 'Go on' }).isVisible(), false, 'there is no handle yet');
  // What a file picker gives cannot be had without a person: a handle of the browser's own folder is one as well.
  const { inventories: [{ systemTags }] } = await server.call('GET', '/zstack/v1/images?q=status=Downloading');
  const imageId = systemTags.find((tag) => tag.startsWith('uploadImage::')).split('::')[1];
  const base64 = readFileSync(path).toString('base64');
  await page.evaluate(async ({ id, bytes }) => {
    const folder = await navigator.storage.getDirectory();
    const handle = await folder.getFileHandle('handled.raw', { create: true });
    const writer = await handle.createWritable();
    await writer.write(Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0)));
    await writer.close();
    const { keepHandle } = await import('/ui/handles.js');
    await keepHandle(id, handle);
  }, { id: imageId, bytes: base64 });
  await page.reload();
  await left.getByRole('button', { name: 'Go on' }).click();
  await phaseIs(page, 'ready', 60);
  const images = await server.images();
  check.equal(images.map((image) => image.sha256Sum), [await sha256(path)]);
  check.equal(context.amiss, []);
}

/** Jobs and images show what the server remembers: the states that a job has had, and what the inspector found. */
export async function details({ atEnd }) {
  const { server, context } = await ready({ atEnd });
  const line = await Line.before(server);
  atEnd(() => line.close());
  line.rate = 12 * MIB;
  const page = await open(context, line.base);
  // Its length is that of no disk: the inspector warns of it.
  await page.setInputFiles('#files', [file('odd.raw', 80 * MIB + 100), file('even.raw', MIB)]);
  await until('bytes are stored', async () => (await ownUploads(page))[0].stored > 4 * MIB);
  const card = page.locator('.upload[data-phase]').first();
  await card.getByRole('button', { name: 'Pause' }).click();
  await phaseIs(page, 'paused');
  await card.getByRole('button', { name: 'Resume' }).click();
  line.rate = Infinity;
  await phaseIs(page, 'ready');
  await phaseIs(page, 'ready', 60, 1);
  const image = (await server.images()).find(({ name }) => name === 'odd.raw');
  const { warnings: [{ words }] } = await server.call('GET', `/v1/images/${image.uuid}/inspection`);
  check(words.includes('512'), words);

  await page.goto(`${line.base}/#/images`);
  const row = page.locator('tbody tr', { hasText: 'odd.raw' });
  await until('the list warns', () => row.locator('.warned').isVisible());
  check.equal(await row.locator('.warned').getAttribute('title'), words);
  check.equal(await page.locator('.warned:visible').count(), 1, 'the other has no warnings');
  check.equal(await row.locator('.col-virtual').textContent(), '80\u00a0MiB');
  await row.locator('.row-name').click();
  const dialog = page.locator('dialog');
  await dialog.locator('.warnings').waitFor();
  check.equal(await dialog.locator('.warnings li').allTextContents(), [words]);
  const facts = (await dialog.locator('.facts').textContent()).replaceAll('\u00a0', ' ');
  for (const fact of ['raw · RootVolumeTemplate', '80 MiB', 'warnings: 1 (rules: enforce)', image.sha256Sum]) check(facts.includes(fact), `${fact}: ${facts}`);
  await page.keyboard.press('Escape');

  const { job } = (await ownUploads(page))[0];
  const { states } = await server.call('GET', `/v1/jobs/${job}/history`);
  check.equal(states.slice(-4).map(({ state }) => state), ['Running', 'Suspended', 'Running', 'Succeeded']);
  await page.goto(`${line.base}/#/jobs`);
  await page.locator('tbody tr', { hasText: 'odd.raw' }).locator('.row-name').click();
  const history = dialog.locator('.history li');
  await history.first().waitFor();
  check.equal(await history.locator('.badge').allTextContents(), states.map(({ state }) => state));
  check.equal(await history.locator('time').evaluateAll((all) => all.map((one) => one.getAttribute('datetime'))), states.map(({ at }) => at));
  check.equal(await history.locator('.muted').allTextContents(), states.map(({ cause }) => cause));
  check.equal(context.amiss.filter((said) => !/status of 4\d\d/.test(said)), []);
}

/** The page hears of what others do, and asks for nothing while nothing happens. */
export async function streams({ atEnd }) {
  const { server, context } = await ready({ atEnd });
  const page = await open(context, server.base);
  await page.goto(`${server.base}/#/jobs`);
  await page.waitForFunction(() => document.documentElement.dataset.live === 'stream');
  await pause(2500);
  const asked = [];
  page.on('request', (request) => request.url().includes('/zstack/') && asked.push(request.url()));
  // Nothing happens: nothing is asked, though fall-back polling would have by now.
  await pause(6000);
  check.equal(asked.filter((url) => !url.includes('backup-storage')), []);
  const token = await server.session();
  const began = performance.now();
  const put = await fetch(`${server.base}/uploads/heard`, { method: 'PUT', body: 'an image', headers: { Authorization: `OAuth ${token}` } });
  check.equal(put.status, 201);
  await page.locator('tbody tr', { hasText: 'heard' }).waitFor({ timeout: 2000 });
  console.log(JSON.stringify({ shown_after_ms: Math.round(performance.now() - began) }));
  // Many things at once are one question, not one for each.
  asked.length = 0;
  await Promise.all(Array.from({ length: 40 }, (_, number) => fetch(`${server.base}/uploads/storm-${number}`, { method: 'PUT', body: `image ${number}`, headers: { Authorization: `OAuth ${token}` } })));
  await page.locator('.pager', { hasText: 'of 41' }).waitFor();
  await pause(2000);
  const lists = asked.filter((url) => url.includes('longjobs')).length;
  check(lists >= 1 && lists <= 5, `${lists} lists for one storm`);
  check.equal(context.amiss, []);
}

/** The tab is closed in the middle, the browser ended; what the server has is offered, and only the right file is taken. */
export async function reopened({ atEnd }) {
  const { server, context } = await ready({ atEnd });
  const line = await Line.before(server);
  atEnd(() => line.close());
  line.rate = 12 * MIB;
  const size = 48 * MIB;
  const [path, other, shorter] = [file('debian-12.raw', size), file('debian-13.raw', size), file('short.raw', MIB)];
  const first = await open(context, line.base);
  await first.setInputFiles('#files', [path]);
  await until('a third is stored', async () => (await stored(server)) > size / 3);
  await context.close();
  line.rate = Infinity;
  // What was on its way when the browser ended still arrives.
  let kept = -1;
  await until('nothing arrives any more', async () => {
    const before = kept;
    kept = await stored(server);
    await pause(1500);
    return kept === before && kept === (await stored(server));
  });
  const sentBefore = line.received;

  const again = await browser();
  atEnd(() => again.close());
  const page = await open(again, line.base, { logIn: false });
  const left = page.locator('.left');
  await left.waitFor();
  check((await left.locator('.note').textContent()).includes('debian-12.raw'), 'the unfinished upload is named');
  await left.locator('input[type=file]').setInputFiles(shorter);
  const short = await phaseIs(page, 'failed');
  check(short.note.includes('another file') && /48\sMiB/.test(short.note), short.note);
  await left.locator('input[type=file]').setInputFiles(other);
  const wrong = await phaseIs(page, 'failed', 60, 1);
  check(wrong.note.includes('sampled blocks differ'), wrong.note);
  check.equal(await stored(server), kept, 'of a wrong file nothing was sent');

  await left.locator('input[type=file]').setInputFiles(path);
  await phaseIs(page, 'ready', 90, 2);
  const [image] = await server.images();
  check.equal(image.sha256Sum, await sha256(path));
  const sent = line.received - sentBefore;
  check(sent < size - kept + 8 * MIB, `sent ${sent} again, ${kept} of ${size} were stored`);
  check.equal(again.amiss, []);
}

/** Another client began it, under a name of its own: samples of what is stored tell the files apart. */
export async function foreign({ atEnd }) {
  const { server, context } = await ready({ atEnd });
  const size = 20 * MIB;
  const [path, other] = [file('foreign.raw', size), file('look-alike.raw', size)];
  const bytes = readFileSync(path);
  const jobData = JSON.stringify({ name: 'foreign', url: 'upload://foreign.raw', format: 'raw' });
  const { inventory } = await server.call('POST', '/zstack/v1/longjobs', {
    params: { jobName: 'APIAddImageMsg', name: 'foreign', jobData }, systemTags: ['uploadImage::some-md5', `imageSize::${size}`] });
  const url = JSON.parse(inventory.jobResult).inventory.backupStorageRefs[0].installPath;
  const half = 9 * MIB + 17;
  const put = await fetch(url, { method: 'PUT', body: bytes.subarray(0, half), headers: { 'Content-Range': `bytes 0-${half - 1}/${size}` } });
  check.equal(put.status, 200);

  const page = await open(context, server.base);
  const left = page.locator('.left');
  await left.waitFor();
  await left.locator('input[type=file]').setInputFiles(other);
  const wrong = await phaseIs(page, 'failed');
  check(wrong.note.includes('sampled blocks differ'), wrong.note);
  check.equal(await stored(server), half);
  await left.locator('input[type=file]').setInputFiles(path);
  await phaseIs(page, 'ready', 60, 1);
  const images = await server.images();
  check.equal(images.map((image) => image.sha256Sum), [await sha256(path)]);
  check.equal(context.amiss, []);
}

/** Two tabs send the same file: both end with the same image, and it is stored once. */
export async function tabs({ atEnd }) {
  const { server, context } = await ready({ atEnd });
  const path = file('twice.raw', 80 * MIB);
  const one = await open(context, server.base);
  const two = await context.newPage();
  await two.goto(server.base);
  await two.waitForSelector('.drop');
  await one.setInputFiles('#files', [path]);
  await until('it has begun', async () => (await stored(server)) > 0);
  await two.setInputFiles('#files', [path]);
  await Promise.all([phaseIs(one, 'ready', 120), phaseIs(two, 'ready', 120)]);
  const images = await server.images();
  check.equal(images.map((image) => image.sha256Sum), [await sha256(path)]);
  check.equal(context.amiss.filter((words) => !words.includes('status of 4')), []);
}
