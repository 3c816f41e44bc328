// `node run.mjs CASE`: one case, with its own server and browser. Its last line says how many checks it made.

import { checksDone, cleanUp } from './harness.mjs';

const [, , name] = process.argv;
const { cases } = await import('./cases/index.mjs');
let code = 0;
const ends = [];
try {
  if (!cases[name]) throw new Error(`there is no case ${name}: ${Object.keys(cases).join(', ')}`);
  await cases[name]({ atEnd: (end) => ends.push(end) });
  if (checksDone() === 0) throw new Error('nothing was checked');
} catch (error) {
  console.error(error);
  code = 1;
}
for (const end of ends.reverse()) {
  await Promise.race([Promise.resolve(end()).catch(() => {}), new Promise((resolve) => setTimeout(resolve, 5000))]);
}
cleanUp();
console.log(JSON.stringify({ case: name, checks: checksDone(), ok: code === 0 }));
process.exit(code);
