// Names are text. Whatever a file or an image is called, nothing of it becomes markup, script, style or a request.

import { Server, browser, check, open, until } from '../harness.mjs';

const PARTS = [
  '<script>alert(1)</script>', '<img src=x onerror=alert(1)>', '"><svg onload=alert(1)>', "'-alert(1)-'", '{{constructor.constructor("alert(1)")()}}', '${alert(1)}',
  'javascript:alert(1)', '<style>*{display:none}</style>', '<iframe src="javascript:alert(1)">', '</title><script>alert(1)</script>', '<a href="//evil.example">x</a>',
  '\u202Egpj.exe', '\u0007bell', '%3Cscript%3Ealert(1)%3C/script%3E', '&lt;b&gt;&amp;', '../../etc/passwd', 'CON', '日本語のイメージ', '🚢🌊', 'a'.repeat(240),
  '<base href=//evil.example>', '<meta http-equiv=refresh content="0;url=//evil.example">', '<form action=//evil.example><button>', '__proto__', '{name}', '\\"; alert(1); //',
  '<math><mtext></mtext><mglyph><style><img src=x onerror=alert(1)>', '<object data="data:text/html,<script>alert(1)</script>">', '<details open ontoggle=alert(1)>', '\u2028alert(1)\u2029',
];

/** 200 names, as files and as images of another client: no dialog, no CSP report, no error, and each is shown as it is. */
export async function hostile({ atEnd }) {
  const server = await Server.start();
  atEnd(() => server.kill());
  const context = await browser();
  atEnd(() => context.close());
  const page = await open(context, server.base);
  await page.evaluate(() => {
    globalThis.reports = [];
    addEventListener('securitypolicyviolation', (event) => globalThis.reports.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  const foreign = [];
  page.on('request', (request) => !request.url().startsWith(server.base) && !request.url().startsWith('data:') && foreign.push(request.url()));

  const names = Array.from({ length: 200 }, (_, index) => `${index} ${PARTS[index % PARTS.length]}${index >= PARTS.length ? ` ${PARTS[(index * 7 + 3) % PARTS.length].slice(0, 60)}` : ''}`.slice(0, 250));
  await page.setInputFiles('#files', names.map((name, index) => ({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(`image number ${index}`) })));
  await until('all are ready', async () => (await page.locator('.upload[data-phase="ready"]').count()) === 200, 240);
  const shown = await page.locator('.upload[data-phase] .name').evaluateAll((all) => all.map((one) => one.textContent));
  const files = await page.locator('.upload[data-phase] .name').evaluateAll((all) => all.every((one) => one.children.length === 0));
  check(files, 'a name is one text');
  // Letter by letter, each of them; that browsers write a stroke in a file's name in another way is theirs.
  const plain = (all) => all.map((name) => name.replaceAll('/', ':'));
  check.equal(plain(shown), plain(names));
  for (const card of await page.locator('.upload[data-phase] details').elementHandles()) await card.evaluate((one) => { one.open = true; });

  for (const [view, search] of [['images', 'script'], ['jobs', '<img'], ['schedule', null]]) {
    await page.goto(`${server.base}/#/${view}`);
    await page.waitForTimeout(400);
    if (search) {
      await page.getByRole('searchbox').fill(search);
      await until('the search is answered', async () => (await page.locator('.view').getAttribute('data-loaded'))?.includes(search));
      check((await page.locator('tbody tr').count()) > 0, `${view}: nothing is found for ${search}`);
      for (const row of (await page.locator('.row-name').all()).slice(0, 5)) {
        await row.click();
        await page.locator('dialog .dialog-name').waitFor();
        await page.keyboard.press('Escape');
      }
      await page.getByRole('searchbox').fill('%_\\');
      await page.waitForTimeout(250);
    }
  }
  // The cards of unfinished uploads show names of other clients' making.
  for (const part of PARTS.filter((one) => one.length > 0)) {
    const jobData = JSON.stringify({ name: part.replaceAll(/[\u0000-\u001f]/g, ' '), url: `upload://${encodeURIComponent(part)}`, format: 'raw' });
    await server.call('POST', '/zstack/v1/longjobs', { params: { jobName: 'APIAddImageMsg', name: 'x', jobData } });
  }
  await page.goto(`${server.base}/#/uploads`);
  await until('the unfinished are listed', async () => (await page.locator('.left').count()) >= PARTS.length - 1);
  check.equal(await page.locator('.left script, .left img, .left iframe, .left style, .left object, .left a').count(), 0);
  check.equal(context.dialogs, []);
  check.equal(await page.evaluate(() => globalThis.reports), []);
  check.equal(foreign, []);
  check.equal(context.amiss.filter((words) => !words.includes('/scheduler/job/history')), []);
}

/** What comes with the page, and its worker's script, besides the bytes. Negative control: inline script does not run. */
export async function policy({ atEnd }) {
  const server = await Server.start();
  atEnd(() => server.kill());
  for (const path of ['/', '/ui/app.js', '/ui/engine.js', '/ui/style.css']) {
    const answer = await fetch(server.base + path);
    const rules = answer.headers.get('content-security-policy');
    for (const rule of ["default-src 'self'", "script-src 'self' 'wasm-unsafe-eval'", "object-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "worker-src 'self'", "style-src 'self'"]) {
      check(rules.split('; ').includes(rule), `${path}: ${rules}`);
    }
    check(!rules.includes('unsafe-inline') && !rules.includes("'unsafe-eval'"), rules);
    check.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    const again = await fetch(server.base + path, { headers: { 'If-None-Match': answer.headers.get('etag') } });
    check.equal(again.status, 304);
  }
  const context = await browser();
  atEnd(() => context.close());
  const page = await open(context, server.base);
  const ran = await page.evaluate(() => {
    document.body.append(Object.assign(document.createElement('div'), { innerHTML: '<img src="/ui/none.png" onerror="globalThis.ran = true">' }));
    const inline = document.createElement('script');
    inline.textContent = 'globalThis.ran = true';
    document.body.append(inline);
    return new Promise((resolve) => setTimeout(() => resolve(globalThis.ran === true), 500));
  });
  check.equal(ran, false);
  check(context.amiss.some((words) => /Content Security Policy/.test(words)), 'the browser says what it refused');
}
