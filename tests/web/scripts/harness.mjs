// A server of its own, a browser of its own, and files, for each case.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync, writeSync, closeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const require = createRequire(process.env.WEB_MODULES);
const { chromium } = require('playwright-core');
export const axePath = require.resolve('axe-core/axe.min.js');
export const PASSWORD = 'correct horse';
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--enable-precise-memory-info', '--js-flags=--expose-gc'];

let checks = 0;
/** Counted, so that a case that checks nothing is seen. */
export const check = Object.assign(
  (value, words) => { checks += 1; assert.ok(value, words); },
  { equal: (actual, expected, words) => { checks += 1; assert.deepEqual(actual, expected, words); } },
);
export const checksDone = () => checks;
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `question` answers something, at most so long; then the last answer is in the error. */
export async function until(words, question, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < end) {
    last = await question();
    if (last) return last;
    await pause(50);
  }
  throw new Error(`not within ${seconds} s: ${words}`);
}

export const folder = mkdtempSync(join(tmpdir(), 'longshore-web-'));

export class Server {
  constructor(port) {
    this.port = port;
    this.base = `http://127.0.0.1:${port}`;
  }

  static async start(environment = {}) {
    const port = await new Promise((resolve) => {
      const probe = createServer().listen(0, '127.0.0.1', () => {
        const { port: free } = probe.address();
        probe.close(() => resolve(free));
      });
    });
    const server = new Server(port);
    server.environment = environment;
    await server.begin();
    return server;
  }

  async begin() {
    const env = { LONGSHORE_ADMIN_PASSWORD: PASSWORD, LONGSHORE_STORAGE__FREE_BYTES_MIN_PERCENT: '0', LONGSHORE_DRAIN_SECS: '3', ...this.environment };
    this.child = spawn(process.env.WEB_SERVER, ['serve', '--listen', `127.0.0.1:${this.port}`, '--data-dir', join(folder, 'data')], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    this.log = [];
    const { child } = this;
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the server does not listen: ${this.log.join('')}`)), 30_000);
      child.stderr.on('data', (data) => {
        this.log.push(String(data));
        if (this.log.length > 400) this.log.shift();
        if (String(data).includes('listening address=')) {
          clearTimeout(timer);
          resolve();
        }
      });
    });
  }

  kill(signal = 'SIGKILL') {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill(signal);
    return ended;
  }

  async session() {
    const password = createHash('sha512').update(PASSWORD).digest('hex');
    const reply = await fetch(`${this.base}/zstack/v1/accounts/login`, { method: 'PUT', body: JSON.stringify({ logInByAccount: { accountName: 'admin', password } }) });
    return (await reply.json()).inventory.uuid;
  }

  /** A call of the control plane with a session of its own, its result polled. */
  async call(method, path, body) {
    this.token ??= await this.session();
    const headers = { Authorization: `OAuth ${this.token}` };
    let reply = await fetch(this.base + path, { method, headers, body: body && JSON.stringify(body) });
    if (reply.status === 202) {
      const { location } = await reply.json();
      do {
        await pause(30);
        reply = await fetch(location, { headers });
      } while (reply.status === 202);
    }
    const text = await reply.text();
    assert.ok(reply.ok, `${method} ${path}: ${reply.status} ${text}`);
    return JSON.parse(text);
  }

  async images() {
    return (await this.call('GET', '/zstack/v1/images?q=status=Ready&sort=-createDate')).inventories;
  }

  /** The one job that is neither failed nor gone, by its image's upload URL. */
  async uploadStates() {
    const { inventories } = await this.call('GET', '/zstack/v1/images?q=status=Downloading');
    return Promise.all(inventories.map(async (image) => (await fetch(image.backupStorageRefs[0].installPath)).json()));
  }
}

/** A proxy before the server that can be cut, and slowed down to so many bytes a second from the client, all connections together. */
export class Line {
  constructor(target) {
    this.target = target;
    this.isCut = false;
    this.rate = Infinity;
    /** When what was taken so far has gone through, in milliseconds of the steady clock. */
    this.busyUntil = 0;
    this.sockets = new Set();
    this.received = 0;
  }

  static async before(server) {
    const line = new Line(server.port);
    line.listener = createServer((socket) => line.#carry(socket));
    await new Promise((resolve) => line.listener.listen(0, '127.0.0.1', resolve));
    line.base = `http://127.0.0.1:${line.listener.address().port}`;
    return line;
  }

  #carry(client) {
    if (this.isCut) {
      client.destroy();
      return;
    }
    const server = connect(this.target, '127.0.0.1');
    for (const socket of [client, server]) {
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
    server.pipe(client);
    client.on('data', async (data) => {
      this.received += data.length;
      client.pause();
      if (Number.isFinite(this.rate)) {
        this.busyUntil = Math.max(this.busyUntil, performance.now()) + (1000 * data.length) / this.rate;
        await pause(this.busyUntil - performance.now());
      }
      if (!server.write(data)) await new Promise((resolve) => { server.once('drain', resolve); server.once('close', resolve); });
      client.resume();
    });
  }

  cut() {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  mend() {
    this.isCut = false;
  }

  close() {
    this.cut();
    this.listener.close();
  }
}

let files = 0;
/** A file of random bytes, or a sparse one with random ends. */
export function file(name, size, { sparse = false } = {}) {
  files += 1;
  mkdirSync(join(folder, String(files)));
  const path = join(folder, String(files), name);
  const descriptor = openSync(path, 'w');
  if (sparse) {
    writeSync(descriptor, randomBytes(1 << 20), 0, 1 << 20, 0);
    closeSync(descriptor);
    truncateSync(path, size);
    const end = openSync(path, 'r+');
    writeSync(end, randomBytes(1 << 20), 0, 1 << 20, size - (1 << 20));
    closeSync(end);
  } else {
    for (let at = 0; at < size; at += 1 << 22) writeSync(descriptor, randomBytes(Math.min(1 << 22, size - at)));
    closeSync(descriptor);
  }
  return path;
}

export const text = (name, words) => {
  const path = join(folder, name);
  writeFileSync(path, words);
  return path;
};

export async function sha256(path) {
  const hash = createHash('sha256');
  for await (const block of createReadStream(path, { highWaterMark: 1 << 22 })) hash.update(block);
  return hash.digest('hex');
}

/** Memory of its own that the browser's renderers hold, with their workers, in bytes: what a page holds does not all show in its heap. */
export function rendererBytes(profile = 'profile') {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      // Children of the zygote have blanks in it where others have NULs.
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const number = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
      return [{ pid: Number(pid), parent: number('PPid'), bytes: 1024 * number('RssAnon'), words }];
    } catch {
      return []; // It has ended meanwhile.
    }
  });
  const ours = new Set(processes.filter(({ words }) => words.includes(`--user-data-dir=${join(folder, profile)} `)).map(({ pid }) => pid));
  for (let before = -1; before < ours.size;) {
    before = ours.size;
    for (const { pid, parent } of processes) if (ours.has(parent)) ours.add(pid);
  }
  const renderers = processes.filter(({ pid, words }) => ours.has(pid) && words.includes('--type=renderer'));
  return renderers.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Begins to watch the tasks of the page's own thread; what is answered ends that, and tells the longest in milliseconds of a processor. */
export async function watchTasks(page) {
  const client = await page.context().newCDPSession(page);
  const events = [];
  client.on('Tracing.dataCollected', ({ value }) => events.push(...value.filter(({ name, tdur }) => name === 'thread_name' || (name === 'RunTask' && tdur > 1000))));
  await client.send('Tracing.start', { traceConfig: { includedCategories: ['disabled-by-default-devtools.timeline', '__metadata'], excludedCategories: ['*'] }, transferMode: 'ReportEvents' });
  return async () => {
    const ended = new Promise((resolve) => client.once('Tracing.tracingComplete', resolve));
    await client.send('Tracing.end');
    await ended;
    const mains = new Set(events.filter(({ args }) => args?.name === 'CrRendererMain').map(({ pid, tid }) => `${pid} ${tid}`));
    const tasks = events.filter(({ name, pid, tid }) => name === 'RunTask' && mains.has(`${pid} ${tid}`)).map(({ tdur }) => tdur / 1000);
    return { count: tasks.length, longest: Math.max(0, ...tasks) };
  };
}

/** A browser with a profile of its own. What the page says amiss is collected. */
export async function browser({ profile = 'profile', ...options } = {}) {
  const context = await chromium.launchPersistentContext(join(folder, profile), {
    executablePath: process.env.WEB_CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS, headless: true, viewport: { width: 1200, height: 820 }, locale: 'en-GB', acceptDownloads: true, ...options,
  });
  context.amiss = [];
  context.dialogs = [];
  const watch = (page) => {
    page.on('console', (message) => {
      if (message.type() === 'error' || /content security policy/i.test(message.text())) context.amiss.push(`${message.text()} ${message.location().url}`);
    });
    page.on('pageerror', (error) => context.amiss.push(String(error.stack ?? error)));
    page.on('dialog', (dialog) => {
      context.dialogs.push(`${dialog.type()}: ${dialog.message()}`);
      dialog.accept().catch(() => {});
    });
  };
  context.on('page', watch);
  context.pages().forEach(watch);
  return context;
}

export async function open(context, base, { logIn = true } = {}) {
  const page = context.pages().find((one) => one.url() === 'about:blank') ?? await context.newPage();
  await page.goto(`${base}/`);
  if (logIn) {
    await page.fill('#password', PASSWORD);
    await page.click('button[type=submit]');
  }
  await page.waitForSelector('.drop');
  return page;
}

/** What the cards of this page say: phase, name, numbers, note. */
export const cards = (page) => page.locator('.upload[data-phase]').evaluateAll((all) => all.map((card) => ({
  phase: card.dataset.phase, name: card.querySelector('.name').textContent, numbers: card.querySelector('.numbers').textContent, note: card.querySelector('.note').textContent,
})));

export const phaseIs = (page, phase, seconds = 60, index = 0) => until(`upload ${index} is ${phase}`, async () => {
  const all = await cards(page);
  const card = all[index];
  if (card && ['failed', 'canceled'].includes(card.phase) && card.phase !== phase) throw new Error(JSON.stringify(all));
  return card?.phase === phase && card;
}, seconds);

/** The page's own uploads, as its modules have them. */
export const ownUploads = (page) => page.evaluate(async () => {
  const { queue } = await import('/ui/queue.js');
  return queue.uploads.map(({ phase, sent, stored, sliceBytes, rate, job }) => ({ phase, sent, stored, sliceBytes, rate, job }));
});

/** How much of the first unfinished upload the server has. */
export const stored = async (server) => (await server.uploadStates())[0]?.storedBytes ?? 0;

export const cleanUp = () => rmSync(folder, { recursive: true, force: true });
