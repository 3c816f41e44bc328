// One upload by the real tus-js-client. argv[2] is JSON: endpoint, token, file, and the options of the case.
// Prints a line for every request it makes, and one for its end.
import { createRequire } from 'node:module'
import fs from 'node:fs'
import { PassThrough } from 'node:stream'

const ask = JSON.parse(process.argv[2])
const tus = createRequire(ask.modules)('tus-js-client')
const say = (what) => fs.writeSync(1, `${JSON.stringify(what)}\n`)
const size = fs.statSync(ask.file).size

const options = {
  endpoint: ask.endpoint,
  headers: ask.token ? { Authorization: `OAuth ${ask.token}` } : {},
  metadata: { filename: 'from tus-js-client.img', filetype: 'application/octet-stream' },
  retryDelays: [0, 100, 300, 500, 1000, 1000, 2000, 2000, 3000],
  ...ask.options,
}
if (ask.urls) {
  options.urlStorage = new tus.FileUrlStorage(ask.urls)
  options.fingerprint = async () => 'the file'
}
if (options.chunkSize === 'all') options.chunkSize = Infinity
options.onAfterResponse = (request, response) => {
  say({ method: request.getMethod(), status: response.getStatus() })
}
let interrupted = false
options.onProgress = (sent) => {
  if (ask.abortAt && !interrupted && sent >= size * ask.abortAt) {
    interrupted = true
    upload.abort().then(() => {
      say({ aborted: sent })
      upload.start()
    })
  }
}
// What its user does who reads of an error: 4.3.1 does not ask for the joining again by itself.
options.onError = (error) => {
  if (ask.startAgain > 0) {
    ask.startAgain -= 1
    say({ again: String(error) })
    upload.start()
    return
  }
  say({ error: String(error) })
  process.exit(1)
}
options.onSuccess = () => {
  say({ url: upload.url })
  process.exit(0)
}
// Of a file it knows the length, and then announces bytes in the last chunk that are not there: a bug of 4.3.1. A pipe has none.
const stream = () => {
  const file = fs.createReadStream(ask.file)
  return options.uploadLengthDeferred ? file.pipe(new PassThrough()) : file
}
const source = ask.buffer ? fs.readFileSync(ask.file) : stream()
const upload = new tus.Upload(source, options)
if (ask.urls) {
  const before = await upload.findPreviousUploads()
  if (before.length > 0) upload.resumeFromPreviousUpload(before[0])
}
upload.start()
