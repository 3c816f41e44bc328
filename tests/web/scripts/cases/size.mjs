// Much of everything: long lists, large files, and how fast it goes.

import { Server, browser, cards, check, file, open, phaseIs, sha256, until } from '../harness.mjs';

const MIB = 1 << 20;

/** A list of 10,000 jobs: a filter is answered and drawn within 100 ms, in the middle of five. */
export async function long_list({ atEnd }) {
  const server = await Server.start({ LONGSHORE_UPLOADS__OPEN_UPLOADS_MAX: '20000' });
  atEnd(() => server.kill());
  const count = Number(process.env.WEB_JOBS ?? 10_000);
  const token = await server.session();
  // Short whole images make a job each in one request.
  let next = 0;
  await Promise.all(Array.from({ length: 16 }, async () => {
    while (next < count) {
      const number = next++;
      const answer = await fetch(`${server.base}/uploads/image-${number}`, { method: 'PUT', body: `image ${number}`, headers: { Authorization: `OAuth ${token}` } });
      if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
      await answer.arrayBuffer();
    }
  }));
  const context = await browser();
  atEnd(() => context.close());
  const page = await open(context, server.base);
  await page.goto(`${server.base}/#/jobs`);
  await page.locator('tbody tr').first().waitFor();
  const words = await page.locator('.pager').textContent();
  check(words.includes(`of ${count}`), words);
  const times = [];
  for (const name of ['Succeeded', 'Failed', 'Running', 'Succeeded', 'Canceled', 'Succeeded']) {
    times.push(await page.evaluate((state) => new Promise((resolve) => {
      const view = document.querySelector('.view');
      const began = performance.now();
      const seen = new MutationObserver(() => {
        if (!view.dataset.loaded.startsWith(`${state}|`)) return;
        seen.disconnect();
        requestAnimationFrame(() => resolve(performance.now() - began));
      });
      seen.observe(view, { attributes: true });
      document.querySelector(`[data-state="${state}"]`).click();
    }), name));
  }
  const middle = times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];
  console.log(JSON.stringify({ jobs: count, filter_ms: times.map(Math.round) }));
  check(middle < 100, `filters took ${times.map(Math.round)} ms`);
}

async function measured({ atEnd, size, sparse }) {
  const server = await Server.start();
  atEnd(() => server.kill());
  const context = await browser();
  atEnd(() => context.close());
  const page = await open(context, server.base);
  await page.evaluate(() => {
    globalThis.blocked = [];
    new PerformanceObserver((list) => globalThis.blocked.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask', buffered: true });
  });
  const heap = () => page.evaluate(() => { globalThis.gc?.(); return performance.memory.usedJSHeapSize; });
  const path = file('large.raw', size, { sparse });
  const began = Date.now();
  await page.setInputFiles('#files', [path]);
  await until('it has begun', async () => /%/.test((await cards(page))[0]?.numbers ?? ''));
  const heaps = [await heap()];
  await until('it is ready', async () => {
    heaps.push(await heap());
    await page.waitForTimeout(500);
    const [card] = await cards(page);
    if (card.phase === 'failed') throw new Error(card.note);
    return card.phase === 'ready';
  }, 900);
  const seconds = (Date.now() - began) / 1000;
  const blocked = await page.evaluate(() => globalThis.blocked);
  const figures = { mib: size / MIB, seconds, mib_per_second: Math.round(size / MIB / seconds), heap_mib: [Math.min(...heaps), Math.max(...heaps)].map((bytes) => Number((bytes / MIB).toFixed(1))), long_tasks_ms: blocked.map(Math.round) };
  console.log(JSON.stringify(figures));
  check(Math.max(...heaps) - Math.min(...heaps) < 16 * MIB, `the heap grew: ${figures.heap_mib}`);
  check.equal((await server.images())[0].sha256Sum, await sha256(path));
}

/** 5 GiB, most of them a hole: memory stays flat and the digests are equal. */
export const soak = ({ atEnd }) => measured({ atEnd, size: 5 * 1024 * MIB, sparse: true });

/** The same with 1 GiB, for a run that has less time. */
export const large = ({ atEnd }) => measured({ atEnd, size: 1024 * MIB, sparse: true });
