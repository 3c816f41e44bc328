// The words of the page, in the language of the person.

import en from './words.en.js';
import zh from './words.zh.js';

const WORDS = { en, zh };
const KEPT = 'longshore.language';

let chosen = kept() ?? ((navigator.languages ?? [navigator.language]).find((tag) => /^(zh|en)\b/i.test(tag))?.slice(0, 2).toLowerCase() || 'en');
document.documentElement.lang = chosen === 'zh' ? 'zh-CN' : 'en';

function kept() {
  try {
    const tag = localStorage.getItem(KEPT);
    return Object.hasOwn(WORDS, tag ?? '') ? tag : null;
  } catch {
    return null;
  }
}

export const language = () => chosen;
export const languageEvents = new EventTarget();

export function speak(tag) {
  chosen = tag;
  document.documentElement.lang = tag === 'zh' ? 'zh-CN' : 'en';
  try {
    localStorage.setItem(KEPT, tag);
  } catch { /* Storage is off: until the page is loaded again. */ }
  languageEvents.dispatchEvent(new Event('change'));
}

/** Letters that go from right to left, and characters that turn the direction of what follows. */
const TURNS = /[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufeff]|[\ud802\ud803\ud83a\ud83b]/;

/** What turns round stays within itself: a file's name must not turn round the question whether to delete it. */
function isolated(value) {
  return TURNS.test(value) ? `\u2068${value.replace(/[\u2066-\u2069]/g, '')}\u2069` : value;
}

/** The words of a key, with `{names}` filled in. What is filled in stays text. */
export function t(key, values = {}) {
  const words = WORDS[chosen][key] ?? en[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (_, name) => isolated(String(values[name] ?? '')));
}

/** Whether there are words for this key. */
export const has = (key) => Object.hasOwn(WORDS[chosen], key);

/** What a refusal means, with the server's own words, which are English. */
export const refusal = (code, words) => (words && has(`code.${code}`) ? t(`code.${code}`, { words }) : words);

/** Words of the server in the language of the page, where it is known what they mean; else as they came. */
export const said = (words) => (has(`says.${words}`) ? t(`says.${words}`) : words);
