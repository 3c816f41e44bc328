// One upload by the real Uppy in headless Chromium. argv[2] is JSON: endpoint, token, file, modules, port (of the page, which is
// another origin than the service), profile (a new folder).
// The file is chosen, the network is cut and comes back, the page is reloaded and the same file chosen again.
// Prints a line for every answer that the page gets, one for every step, and one for its end.
import { createRequire } from 'node:module'
import fs from 'node:fs'
import http from 'node:http'

const ask = JSON.parse(process.argv[2])
const require = createRequire(ask.modules)
const { chromium } = require('playwright-core')
const esbuild = require('esbuild')
const say = (what) => fs.writeSync(1, `${JSON.stringify(what)}\n`)
const fail = (error) => {
  say({ error: String(error) })
  process.exit(1)
}
process.on('unhandledRejection', fail)

// What a page of a user would do, bundled as such pages are.
const source = `
  import Uppy from '@uppy/core'
  import Tus from '@uppy/tus'
  const { endpoint, token, chunkSize } = ${JSON.stringify(ask)}
  const uppy = new Uppy({ autoProceed: true }).use(Tus, {
    endpoint,
    chunkSize,
    headers: { Authorization: 'OAuth ' + token },
    retryDelays: [0, 200, 500, 1000, 1000, 2000, 2000, 3000],
  })
  uppy.on('upload-success', (file, response) => window.say({ url: response.uploadURL }))
  uppy.on('upload-error', (file, error) => window.say({ error: String(error) }))
  document.querySelector('input').addEventListener('change', (event) => {
    const [file] = event.target.files
    uppy.addFile({ source: 'local', name: file.name, type: file.type, data: file })
  })
`
const { outputFiles } = await esbuild.build({
  stdin: { contents: source, resolveDir: ask.modules.replace(/[^/]*$/, '') },
  bundle: true,
  write: false,
  format: 'iife',
})
const script = outputFiles[0].text
const server = http.createServer((request, response) => {
  if (request.url === '/page.js') {
    response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(script)
  } else if (request.url === '/') {
    const page = '<!doctype html><title>upload</title><input type="file"><script src="/page.js"></script>'
    response.writeHead(200, { 'Content-Type': 'text/html' }).end(page)
  } else {
    response.writeHead(404).end()
  }
})
await new Promise((listening) => server.listen(ask.port, '127.0.0.1', listening))

const browser = await chromium.launchPersistentContext(ask.profile, {
  executablePath: '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
})
const end = async (said) => {
  await browser.close()
  server.close()
  say(said)
  process.exit(said.error ? 1 : 0)
}
const page = await browser.newPage()
let patches = 0
const waiting = []
page.on('response', (response) => {
  const method = response.request().method()
  if (!response.url().startsWith(ask.service)) return
  say({ method, status: response.status(), offset: response.headers()['upload-offset'] })
  if (method === 'PATCH') {
    patches += 1
    waiting.filter(([at]) => at <= patches).forEach(([, go]) => go())
  }
})
page.on('requestfailed', (request) => say({ failed: request.method() }))
page.on('pageerror', (error) => end({ error: String(error) }))
await page.exposeFunction('say', (said) => end(said))
const more = (count) => new Promise((go) => waiting.push([patches + count, go]))

// Slow enough that there is something to interrupt.
const network = await browser.newCDPSession(page)
await network.send('Network.enable')
const conditions = (offline) =>
  network.send('Network.emulateNetworkConditions', {
    offline,
    latency: 5,
    downloadThroughput: -1,
    uploadThroughput: 2 << 20,
  })
await page.goto(`http://127.0.0.1:${ask.port}/`)
await conditions(false)
await page.setInputFiles('input', ask.file)
await more(4)
await conditions(true)
say({ step: 'cut' })
await new Promise((go) => setTimeout(go, 1500))
const before = patches
await conditions(false)
say({ step: 'back', patches: before })
await more(4)
await page.reload()
say({ step: 'reloaded', patches })
await page.setInputFiles('input', ask.file)
