import { limits } from '../../src/limits.ts'

/* Keys, names and values that are easily taken for something else. Whatever carries keys or values is tested with all of them. */

/** Each is a key; in no order. */
export const strangeKeys: readonly string[] = [
  '.',
  '..',
  './a',
  '../a',
  'a/../b',
  '/first',
  'a//b',
  'last/',
  'last//',
  '/',
  '//',
  '%',
  '%2F',
  '%zz',
  '100%',
  '?',
  'a?b=c',
  '#',
  'a#b',
  '+',
  'a+b c',
  ' ',
  ' a ',
  '&=;,',
  'a&key=b',
  '*',
  '-',
  '--',
  '--all',
  '-x',
  '__proto__',
  'constructor',
  'toString',
  'null',
  '0',
  '🔑/schlüssel',
  'e\u0301',
  '\u00e9',
  '\u0000\n\r\t"\\',
  '\u202e',
  '\ufeff',
  '\uffff',
  'k'.repeat(limits.keyBytesMax),
  'é'.repeat(limits.keyBytesMax / 2),
]

/** No key, nor a name of a lock. */
export const strangersToKeys: readonly string[] = ['', 'k'.repeat(limits.keyBytesMax + 1), `${strangeKeys.at(-1)}a`]

/** In the order in which listings have them. */
export function byBytes(keys: readonly string[]): readonly string[] {
  return [...keys].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
}

/** Values of up to `bytesMax` bytes. */
export function strangeValues(bytesMax: number): readonly Buffer[] {
  const texts = ['', 'text', '\ufeffbom', '\u0000', '\r\n', '"\\', '__proto__', 'null', '🔑', '-', '\u2028']
  const binary = [[0, 255, 10, 128], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0xef, 0xbb], [0xff]]
  return [
    ...texts.map((text) => Buffer.from(text)),
    ...binary.map((bytes) => Buffer.from(bytes)),
    Buffer.alloc(bytesMax, 'x'),
    Buffer.alloc(bytesMax, 0xfe),
  ]
}
