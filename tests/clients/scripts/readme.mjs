// The example of the README for tus-js-client and Uppy. argv[2] is JSON: code, session, file, modules.
// What a page would send by Uppy is shown in Chromium (uppy.mjs); here it is that the options are taken as they stand.
import { createRequire } from 'node:module'
import fs from 'node:fs'
import { pathToFileURL } from 'node:url'

const ask = JSON.parse(process.argv[2])
const require = createRequire(ask.modules)
const tus = require('tus-js-client')
const load = async (name) => {
  const folder = ask.modules.replace(/package\.json$/, `node_modules/${name}/`)
  const { exports: named, main } = JSON.parse(fs.readFileSync(`${folder}package.json`, 'utf8'))
  const entry = typeof named === 'string' ? named : (named?.['.']?.default ?? named?.['.'] ?? main)
  return (await import(pathToFileURL(folder + entry))).default
}
const [Core, Tus] = await Promise.all([load('@uppy/core'), load('@uppy/tus')])
class Uppy extends Core {
  use(plugin, options) {
    const { endpoint, headers } = options
    fs.writeSync(1, `${JSON.stringify({ uppy: { endpoint, authorization: headers.Authorization } })}\n`)
    return super.use(plugin, options)
  }
}
// As a page gets one from its user.
const file = Object.assign(fs.readFileSync(ask.file), { name: 'disk.qcow2', type: '' })
new Function('tus', 'Uppy', 'Tus', 'file', 'session', ask.code)(tus, Uppy, Tus, file, ask.session)
