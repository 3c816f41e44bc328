// What a file is called by its content (docs/image-id.md), and what it seems to be by its first bytes.

const BLOCK_BYTES = 65_536;
const BLOCKS = 8;

export async function readAt(file, start, end) {
  return new Uint8Array(await file.slice(start, end).arrayBuffer());
}

const { createSHA256 } = globalThis.hashwasm;

export async function imageIdOf(file) {
  const sha = await createSHA256();
  sha.init();
  const size = new DataView(new ArrayBuffer(8));
  size.setBigUint64(0, BigInt(file.size));
  sha.update(new Uint8Array(size.buffer));
  for (let block = 0; block < BLOCKS; block += 1) {
    const start = Math.floor((Math.max(file.size - BLOCK_BYTES, 0) * block) / (BLOCKS - 1));
    sha.update(await readAt(file, start, Math.min(start + BLOCK_BYTES, file.size)));
  }
  return `ls1-${sha.digest('hex')}`;
}

/** SHA-256 of each of these ranges. */
export async function sampleDigest(file, ranges) {
  const digests = [];
  for (const { start, end } of ranges) {
    const sha = await createSHA256();
    sha.init();
    sha.update(await readAt(file, start, end));
    digests.push(sha.digest('hex'));
  }
  return digests;
}

const MAGIC = [
  [0, 'QFI\xfb', 'qcow2'],
  [0, 'KDMV', 'vmdk'],
  [0, 'vhdxfile', 'vhdx'],
  [0, 'conectix', 'vhd'],
  [0x40, '\x7f\x10\xda\xbe', 'vdi'],
  [0x8001, 'CD001', 'iso'],
];

/** The format, as our command line tells it. The server decides by the content in the end. */
export async function formatOf(file) {
  const head = await readAt(file, 0, 0x8800);
  for (const [at, magic, format] of MAGIC) {
    if ([...magic].every((letter, index) => head[at + index] === letter.charCodeAt(0))) return format;
  }
  const extension = file.name.toLowerCase().split('.').pop();
  if (extension === 'vhd' || extension === 'vpc') return 'vhd';
  return extension === 'vmdk' ? 'vmdk' : 'raw';
}
