import * as flows from './flows.mjs';
import * as hostile from './hostile.mjs';
import * as looks from './looks.mjs';
import * as size from './size.mjs';
import * as trouble from './trouble.mjs';

export const cases = { ...flows, ...hostile, ...looks, ...size, ...trouble };
