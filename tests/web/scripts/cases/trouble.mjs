// What goes wrong on the way: the network, the server, the browser.

import { Line, Server, browser, cards, check, file, open, ownUploads, phaseIs, sha256, stored, until } from '../harness.mjs';

const MIB = 1 << 20;

async function ready(atEnd, environment) {
  const server = await Server.start(environment);
  atEnd(() => server.kill());
  const line = await Line.before(server);
  atEnd(() => line.close());
  const context = await browser();
  atEnd(() => context.close());
  return { server, line, context, page: await open(context, line.base) };
}

/** What has arrived and what is stored, once neither grows any more. */
async function settled(server, line) {
  let now = null;
  await until('nothing arrives any more', async () => {
    const before = now;
    now = { received: line.received, stored: await stored(server) };
    await new Promise((resolve) => setTimeout(resolve, 400));
    return before && before.received === now.received && before.stored === now.stored;
  });
  return now;
}

/** What Chromium itself notes of requests that were cut or refused is no fault of the page. */
const faults = (context) => context.amiss.filter((words) => !/^Failed to load resource/.test(words));

/** Every connection is cut again and again; then the browser itself says that it is off-line. */
export async function cut({ atEnd }) {
  const { server, line, context, page } = await ready(atEnd);
  const size = 60 * MIB;
  const path = file('cut.raw', size);
  line.rate = 25 * MIB;
  await page.setInputFiles('#files', [path]);
  for (const share of [0.1, 0.3]) {
    await until(`${share} is stored`, async () => (await stored(server)) > size * share);
    line.cut();
    const card = await phaseIs(page, 'waiting');
    check(card.note.includes('What was sent is kept'), card.note);
    line.mend();
    await phaseIs(page, 'sending', 40);
  }
  await context.setOffline(true);
  const card = await phaseIs(page, 'waiting');
  check(card.note.includes('No network'), card.note);
  const kept = await settled(server, line);
  await context.setOffline(false);
  line.rate = Infinity;
  await phaseIs(page, 'ready', 90);
  // Only what the server lacks is sent; the rest is headers and calls.
  check(line.received - kept.received < size - kept.stored + MIB, `${line.received - kept.received} bytes for the ${size - kept.stored} that were missing`);
  const [image] = await server.images();
  check.equal(image.sha256Sum, await sha256(path));
  check(line.received < 1.6 * size, `${line.received} bytes for a file of ${size}`);
  check.equal(faults(context), []);
}

/** SIGKILL in the middle, and SIGTERM; the same page goes on by itself. */
export async function restart({ atEnd }) {
  const { server, line, context, page } = await ready(atEnd);
  const size = 80 * MIB;
  const path = file('killed.raw', size);
  line.rate = 25 * MIB;
  await page.setInputFiles('#files', [path]);
  let least = 0;
  let kept = null;
  for (const [share, signal] of [[0.15, 'SIGKILL'], [0.4, 'SIGTERM']]) {
    await until(`${share} is stored`, async () => (await stored(server)) > size * share);
    const [{ offset }] = await server.uploadStates();
    await server.kill(signal);
    await phaseIs(page, 'waiting');
    await server.begin();
    const [state] = await server.uploadStates();
    check(state.offset >= offset && offset >= least, `${state.offset} after ${signal}, ${offset} before`);
    least = state.offset;
    kept = { received: line.received, stored: state.storedBytes };
    await phaseIs(page, 'sending', 60);
  }
  line.rate = Infinity;
  await phaseIs(page, 'ready', 90);
  const [image] = await server.images();
  check.equal(image.sha256Sum, await sha256(path));
  // What survived the end of the server is not sent again. Between its start and this look a slice may have begun.
  const again = line.received - kept.received;
  check(again < size - kept.stored + 16 * MIB, `${again} bytes for the ${size - kept.stored} that were missing`);
  check.equal(faults(context), []);
}

/** A line of 1 MiB/s: slices become small, the rate that is shown is the one that the line carries, and a pause takes a few seconds. */
export async function throttled({ atEnd }) {
  const { server, line, context, page } = await ready(atEnd);
  line.rate = MIB;
  const path = file('slow.raw', 64 * MIB);
  await page.setInputFiles('#files', [path]);
  // What the system holds between the browser and the line is full, and the first slices, which are longer, have been answered.
  await until('slices are small', async () => (await ownUploads(page))[0].sliceBytes <= MIB, 60);
  await page.waitForTimeout(5000);
  const began = performance.now();
  const before = line.received;
  const shown = [];
  while (performance.now() - began < 10_000) {
    const { numbers } = (await cards(page))[0];
    const words = /([\d.]+)\s(KiB|MiB)\/s/.exec(numbers);
    check(words && /left/.test(numbers), numbers);
    shown.push(Number(words[1]) * (words[2] === 'KiB' ? 1024 : MIB));
    await page.waitForTimeout(500);
  }
  const carried = ((line.received - before) * 1000) / (performance.now() - began);
  const rate = shown.reduce((sum, one) => sum + one, 0) / shown.length;
  console.log(JSON.stringify({ carried_mib_per_second: carried / MIB, shown_mib_per_second: rate / MIB }));
  // A busy machine makes the line slower, never faster; what is shown is what it took.
  check(carried > 0.4 * MIB && carried < 1.1 * MIB, `the line carried ${carried} bytes a second`);
  check(rate > 0.65 * carried && rate < 1.35 * carried, `${rate} bytes a second are shown, the line carries ${carried}`);
  check((await ownUploads(page))[0].sliceBytes <= 2 * MIB, 'slices stay small');

  const asked = performance.now();
  await page.locator('.upload').getByRole('button', { name: 'Pause' }).click();
  await phaseIs(page, 'paused');
  const took = performance.now() - asked;
  // Three seconds for slices that end by themselves, then a call over the same line.
  check(took < 8000, `pausing took ${took} ms`);
  line.rate = Infinity;
  await page.locator('.upload').getByRole('button', { name: 'Resume' }).click();
  await phaseIs(page, 'ready', 60);
  check.equal((await server.images())[0].sha256Sum, await sha256(path));
  check.equal(context.amiss, []);
}

/** The session ends in the middle: the upload goes on, and logging in brings the page back. */
export async function session({ atEnd }) {
  const { server, line, context, page } = await ready(atEnd);
  line.rate = 12 * MIB;
  const path = file('orphan.raw', 48 * MIB);
  await page.setInputFiles('#files', [path]);
  await until('it has begun', async () => (await stored(server)) > 4 * MIB);
  // Until the page asks for something it does not know; the stream of news ends with the next beat.
  line.rate = MIB;
  const token = await page.evaluate(() => JSON.parse(localStorage.getItem('longshore.session')).token);
  await server.call('DELETE', `/zstack/v1/accounts/sessions/${token}`);
  await page.waitForSelector('#password');
  const before = await stored(server);
  await until('it goes on without a session', async () => (await stored(server)) > before);
  await page.fill('#password', 'correct horse');
  await page.click('button[type=submit]');
  line.rate = Infinity;
  await phaseIs(page, 'ready', 60);
  check.equal((await server.images())[0].sha256Sum, await sha256(path));
  check.equal(faults(context), []);
}

/** An image that must not be taken is refused in words, and the page says what to do. */
export async function refused({ atEnd }) {
  const { server, context, page } = await ready(atEnd);
  const { text } = await import('../harness.mjs');
  await page.setInputFiles('#files', [text('empty.raw', '')]);
  const empty = await until('it is refused', async () => (await cards(page)).find((card) => card.phase === 'failed'));
  check(empty.note.includes('empty'), empty.note);
  const head = Buffer.alloc(65_536);
  // A qcow2 that names a backing file.
  Buffer.from('514649fb00000003000000000000020000000010', 'hex').copy(head);
  head.writeUInt32BE(16, 20);
  head.writeBigUInt64BE(BigInt(1 << 30), 24);
  Buffer.from('/etc/passwd').copy(head, 512);
  await page.setInputFiles('#files', [text('evil.qcow2', head)]);
  const evil = await until('it is refused', async () => (await cards(page)).filter((card) => card.phase === 'failed')[1]);
  check(evil.note.length > 20 && !/undefined|null|\[object/.test(evil.note), evil.note);
  check.equal((await server.images()).length, 0);
  check.equal(faults(context), []);
}
