// What goes wrong on the way: the network, the server, the browser.

import { Line, Server, browser, cards, check, file, open, phaseIs, sha256, stored, until } from '../harness.mjs';

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
  await context.setOffline(false);
  line.rate = Infinity;
  await phaseIs(page, 'ready', 90);
  const [image] = await server.images();
  check.equal(image.sha256Sum, await sha256(path));
  check(line.received < 1.6 * size, `${line.received} bytes for a file of ${size}`);
}

/** SIGKILL in the middle, and SIGTERM; the same page goes on by itself. */
export async function restart({ atEnd }) {
  const { server, line, page } = await ready(atEnd);
  const size = 80 * MIB;
  const path = file('killed.raw', size);
  line.rate = 25 * MIB;
  await page.setInputFiles('#files', [path]);
  let least = 0;
  for (const [share, signal] of [[0.15, 'SIGKILL'], [0.4, 'SIGTERM']]) {
    await until(`${share} is stored`, async () => (await stored(server)) > size * share);
    const [{ offset }] = await server.uploadStates();
    await server.kill(signal);
    await phaseIs(page, 'waiting');
    await server.begin();
    const [state] = await server.uploadStates();
    check(state.offset >= offset && offset >= least, `${state.offset} after ${signal}, ${offset} before`);
    least = state.offset;
    await phaseIs(page, 'sending', 60);
  }
  line.rate = Infinity;
  await phaseIs(page, 'ready', 90);
  const [image] = await server.images();
  check.equal(image.sha256Sum, await sha256(path));
}

/** A line of 1 MiB/s: slices stay small, the rate that is shown is the true one, and pausing takes no longer than it should. */
export async function throttled({ atEnd }) {
  const { server, line, page } = await ready(atEnd);
  line.rate = MIB;
  const path = file('slow.raw', 24 * MIB);
  await page.setInputFiles('#files', [path]);
  await until('a rate is shown', async () => /MiB\/s|KiB\/s/.test((await cards(page))[0]?.numbers ?? ''), 40);
  await new Promise((resolve) => setTimeout(resolve, 8000));
  const { numbers } = (await cards(page))[0];
  const shown = /([\d.]+)\s(KiB|MiB)\/s/.exec(numbers);
  const rate = Number(shown?.[1]) * (shown?.[2] === 'KiB' ? 1 / 1024 : 1);
  // The line never takes more than 1 MiB/s; on a busy machine it takes less, and what is shown is what was taken.
  check(rate > 0.1 && rate < 2.5, `${numbers} on a line of 1 MiB/s`);
  check(/left/.test(numbers), numbers);
  line.rate = Infinity;
  await phaseIs(page, 'ready', 60);
  check.equal((await server.images())[0].sha256Sum, await sha256(path));
}

/** The session ends in the middle: the upload goes on, and logging in brings the page back. */
export async function session({ atEnd }) {
  const { server, line, page } = await ready(atEnd);
  line.rate = 12 * MIB;
  const path = file('orphan.raw', 48 * MIB);
  await page.setInputFiles('#files', [path]);
  await until('it has begun', async () => (await stored(server)) > 4 * MIB);
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
}

/** An image that must not be taken is refused in words, and the page says what to do. */
export async function refused({ atEnd }) {
  const { server, page } = await ready(atEnd);
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
}
