// Images that are ready: what they are, their digests, download, delete.

import { act, contains, currentSession, get, query, request } from '../api.js';
import { button, h, icon, keyed, say, toast, toggle } from '../dom.js';
import { bytes, exactly, when } from '../format.js';
import { t } from '../i18n.js';
import { concernsImages, onNews } from '../live.js';
import { formatWords, inspectionOf, inspectionWords, warningsIn } from './inspection.js';
import { confirmDialog, dialog, digestRow, empty, pager, problemNote, searchBox, warningList } from './parts.js';

const PAGE = 50;
const INSPECTIONS_AT_ONCE = 3;

export function imagesView(opened) {
  let words = '';
  let start = 0;
  let latest = 0;
  const body = h('tbody');
  const columns = ['name', 'format', 'size', 'virtual', 'digest', 'created', 'acts'];
  const table = h('table', { class: 'rows images' },
    h('thead', null, h('tr', null, columns.map((name) => h('th', { scope: 'col', class: `col-${name}` }, name === 'acts' ? h('span', { class: 'spoken' }, t('col.acts')) : t(`col.${name}`))))), body);
  const nothing = h('div', { hidden: true });
  const problem = h('div');
  const pages = pager((step) => { start = Math.max(0, start + step * PAGE); load(); });
  const element = h('div', { class: 'view' },
    h('div', { class: 'view-head' }, h('h1', null, t('nav.images')), searchBox(t('images.search'), (text) => { words = text; start = 0; load(); })),
    problem, h('div', { class: 'card table-card' }, table, nothing), pages.element);

  async function load() {
    if (!currentSession()) return;
    latest += 1;
    const mine = latest;
    const q = ['status=Ready'];
    if (words) q.push(contains('name', words));
    try {
      const { rows, total } = await query('images', { q, limit: PAGE, start, total: true });
      if (mine !== latest) return;
      problem.replaceChildren();
      keyed(body, rows, (image) => image.uuid, () => imageRow(load));
      toggle(table, rows.length > 0);
      toggle(nothing, rows.length === 0);
      nothing.replaceChildren(empty('disc', words ? t('images.noneFound') : t('images.none'), words ? t('images.noneFoundWords') : t('images.noneWords')));
      pages.show({ start, shown: rows.length, total });
      element.dataset.loaded = `${words}|${start}`;
      await warn(() => mine === latest);
    } catch (error) {
      if (mine === latest) problem.replaceChildren(problemNote(error));
    }
  }

  /** What the inspector warned of, row after row; asked once for each image. */
  async function warn(isWanted) {
    const rows = [...body.children];
    const lane = async () => {
      for (let row = rows.shift(); row && isWanted(); row = rows.shift()) row.warn(await inspectionOf(row.dataset.key));
    };
    await Promise.all(Array.from({ length: INSPECTIONS_AT_ONCE }, lane));
  }

  const deaf = onNews((news) => (concernsImages(news) ? load() : null));
  load();
  if (opened) imageDialog(opened, load);
  const leave = () => {
    deaf();
    latest += 1;
  };
  return { element, leave };
}

function imageRow(reload) {
  let now = null;
  const name = h('button', { type: 'button', class: 'row-name', on: { click: () => imageDialog(now.uuid, reload) } });
  const format = h('span', { class: 'tag' });
  const warned = h('span', { class: 'warned', hidden: true });
  const size = h('td', { class: 'col-size' });
  const virtual = h('td', { class: 'col-virtual' });
  const digest = h('td', { class: 'col-digest' });
  const created = h('td', { class: 'col-created' });
  const acts = h('td', { class: 'col-acts' }, h('div', { class: 'acts' },
    button('download', t('act.download'), () => download(now), { quiet: true }),
    button('trash', t('act.delete'), () => remove(now, reload), { quiet: true })));
  const row = h('tr', null, h('th', { scope: 'row', class: 'col-name' }, name), h('td', { class: 'col-format' }, format, warned), size, virtual, digest, created, acts);
  row.warn = (inspected) => {
    const warnings = warningsIn(inspected);
    toggle(warned, warnings.length > 0);
    if (warnings.length === 0 || warned.title === warnings.join('\n')) return;
    warned.title = warnings.join('\n');
    warned.replaceChildren(icon('alert'), h('span', { class: 'spoken' }, t('image.warnings', { count: warnings.length })));
  };
  row.show = (image) => {
    if (now?.lastOpDate === image.lastOpDate && now?.uuid === image.uuid) return;
    now = image;
    say(name, image.name);
    name.title = image.name;
    say(format, image.format);
    say(size, bytes(image.actualSize));
    size.title = t('image.sizes', { stored: bytes(image.actualSize), virtual: bytes(image.size) });
    say(virtual, bytes(image.size));
    const sum = image.sha256Sum ?? image.md5Sum;
    digest.replaceChildren(sum && !sum.includes(' ') ? short(sum) : '–');
    say(created, when(image.createDate));
    created.title = exactly(image.createDate);
  };
  return row;
}

function short(sum) {
  const row = digestRow(sum);
  row.querySelector('code').textContent = `${sum.slice(0, 12)}…`;
  row.title = sum;
  return row;
}

/** By a URL that holds a right of five minutes, so that the browser saves it like any other file and can resume. */
export async function download(image) {
  try {
    const { body } = await request('POST', `/v1/images/${image.uuid}/download-url`, { body: {} });
    const link = h('a', { href: new URL(body.url, location.href).pathname, download: '' });
    document.body.append(link);
    link.click();
    link.remove();
    toast(t('image.downloading', { name: image.name }));
  } catch (error) {
    toast(error.words ?? String(error), 'bad');
  }
}

async function remove(image, reload) {
  const yes = await confirmDialog(t('image.deleteTitle'), t('image.deleteWords', { name: image.name }), t('act.delete'));
  if (!yes) return;
  try {
    await act('DELETE', `/zstack/v1/images/${image.uuid}`);
    toast(t('image.deleted', { name: image.name }));
  } catch (error) {
    toast(error.words ?? String(error), 'bad');
  }
  reload();
}

async function imageDialog(uuid, reload) {
  const content = h('div', null, h('p', { class: 'muted' }, t('loading')));
  const { element } = dialog(t('image.title'), content);
  try {
    const { inventories: [image] } = await get(`/zstack/v1/images/${encodeURIComponent(uuid)}`);
    if (!image) {
      content.replaceChildren(h('p', null, t('image.gone')));
      return;
    }
    content.replaceChildren(...imageParts(image, await inspectionOf(image.uuid), reload, () => element.close()));
  } catch (error) {
    content.replaceChildren(problemNote(error));
  }
}

function imageParts(image, inspected, reload, close) {
  const rows = [];
  const row = (name, ...value) => rows.push(h('dt', null, name), h('dd', null, value));
  row(t('fact.format'), formatWords(image, inspected));
  row(t('image.stored'), bytes(image.actualSize));
  row(t('image.virtualSize'), bytes(inspected?.virtualSizeBytes ?? image.size));
  row(t('image.inspected'), inspectionWords(inspected));
  row(t('col.created'), h('time', { datetime: exactly(image.createDate) }, when(image.createDate)));
  if (image.description) row(t('image.description'), image.description);
  if (image.sha256Sum) row('SHA-256', digestRow(image.sha256Sum));
  if (image.md5Sum && !image.md5Sum.includes(' ')) row('MD5', digestRow(image.md5Sum));
  row('UUID', digestRow(image.uuid));
  const warnings = [...warningsIn(inspected), ...warningsOf(image)];
  return [
    h('p', { class: 'dialog-name' }, image.name),
    warnings.length > 0 && warningList(warnings),
    h('dl', { class: 'facts' }, rows),
    h('div', { class: 'row end' },
      button('trash', t('act.delete'), () => { close(); remove(image, reload); }, { kind: 'danger' }),
      button('download', t('act.download'), () => download(image), { kind: 'primary' })),
  ].filter(Boolean);
}

/** What is worth a look before the image is used. */
function warningsOf(image) {
  const words = [];
  if (image.size > 8 * image.actualSize && image.actualSize > 0) words.push(t('image.warnSparse', { stored: bytes(image.actualSize), virtual: bytes(image.size) }));
  if (image.state === 'Disabled') words.push(t('image.warnDisabled'));
  if (!image.sha256Sum) words.push(t('image.warnNoDigest'));
  return words;
}
