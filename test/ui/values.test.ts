import t from 'tap'
import { compareValues, type Comparison, type DiffLine } from '../../src/ui/values/difference.ts'
import { bytesFromHex, hexDumpOf, hexOf } from '../../src/ui/values/hex.ts'
import { compactJson, prettyJson } from '../../src/ui/values/json-layout.ts'
import {
  draftOf,
  formsOf,
  isSavedOnOneLine,
  valueOf,
  type FormName,
  type Value,
} from '../../src/ui/values/value-form.ts'

const utf8 = (text: string): Value => new TextEncoder().encode(text)

t.test('hexadecimal digits give the bytes back', async (t) => {
  const bytes = Uint8Array.from({ length: 300 }, (_, at) => (at * 7) & 0xff)
  t.same(bytesFromHex(hexOf(bytes)), { kind: 'bytes', bytes })
  t.same(bytesFromHex(' 00fF\n\t10 '), { kind: 'bytes', bytes: Uint8Array.of(0, 255, 16) })
  t.same(bytesFromHex(''), { kind: 'bytes', bytes: new Uint8Array() })
  const reason = 'Line 2: expected two hexadecimal digits for each byte, found'
  t.same(bytesFromHex('00\n1 2'), { kind: 'invalid', reason: `${reason} "1" alone.` })
  t.same(bytesFromHex('00\nxy'), { kind: 'invalid', reason: `${reason} "x".` })
  t.equal(
    hexDumpOf(utf8('Quorate\n0123456789\xff'), 16),
    '00000010  51 75 6f 72 61 74 65 0a 30 31 32 33 34 35 36 37  Quorate.01234567\n' +
      `00000020  38 39 c3 bf${' '.repeat(36)}  89..`,
  )
})

t.test('the layout of JSON changes, and nothing else', async (t) => {
  const text = '{"n":12345678901234567890,"f":1.0,"n":-0,"s":"a\\"b: [,] \\\\","e":{},"l":[ ],"d":[[1,2],{"x":null}]}'
  t.equal(
    prettyJson(text),
    [
      '{',
      '  "n": 12345678901234567890,',
      '  "f": 1.0,',
      '  "n": -0,',
      '  "s": "a\\"b: [,] \\\\",',
      '  "e": {},',
      '  "l": [],',
      '  "d": [',
      '    [',
      '      1,',
      '      2',
      '    ],',
      '    {',
      '      "x": null',
      '    }',
      '  ]',
      '}',
    ].join('\n'),
  )
  t.equal(compactJson(prettyJson(text) ?? ''), text.replace('[ ]', '[]'))
  t.equal(prettyJson(' 1 '), '1')
  const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`
  t.ok(Number(prettyJson(deep)?.length) < 100 * deep.length, 'deep nesting does not grow with its square')
  const long = JSON.stringify('x\\"'.repeat(1_000_000))
  t.ok(compactJson(long) === long)
})

t.test('JSON that would be too long with an element a line stays as it is, and is edited as text', async (t) => {
  const [one, other] = [0, 1].map((last) => `${'['.repeat(40)}${'1,'.repeat(100_000)}${last}${']'.repeat(40)}`)
  t.equal(prettyJson(one ?? ''), null)
  t.same(draftOf(utf8(one ?? ''), 'json'), {
    kind: 'refused',
    reason: 'Laid out as JSON it would have more than 4194304 characters: edit it as text.',
  })
  t.equal(draftOf(utf8(one ?? ''), 'text').kind, 'draft')
  const comparison = compareValues(utf8(one ?? ''), utf8(other ?? ''))
  t.equal(comparison.kind === 'different' && comparison.difference.form, 'text')
})

t.test('a value is shown in the form that tells most', async (t) => {
  const best = (value: string | Uint8Array): FormName => formsOf(typeof value === 'string' ? utf8(value) : value)[0]
  t.equal(best('{"a": 1}'), 'json')
  t.equal(best(' [1]\n'), 'json')
  t.equal(best('{"a": 1'), 'text')
  t.equal(best('4711'), 'text')
  t.equal(best(''), 'text')
  t.equal(best('zeile\r\n\tzwei 😀'), 'text')
  t.equal(best('a\0b'), 'hex')
  t.equal(best(Uint8Array.of(0xff, 0xfe)), 'hex')
  t.same(formsOf(Uint8Array.of(0xff)), ['hex'])
  t.same(formsOf(utf8('4711')), ['text', 'json', 'hex'])
})

/** What is saved when `change` is made in a field that shows `value`, or why not. */
function edited(value: string, form: FormName, change: (text: string) => string): string {
  const outcome = draftOf(utf8(value), form)
  if (outcome.kind === 'refused') return outcome.reason
  const saved = valueOf(outcome.draft, change(outcome.draft.text))
  return saved.kind === 'invalid' ? saved.reason : new TextDecoder('utf-8', { ignoreBOM: true }).decode(saved.value)
}

t.test('what is not edited is saved byte by byte', async (t) => {
  const values = [
    '',
    'a',
    '\u{feff}a',
    'a\r\nb\r\n',
    '{"a":1}',
    '{ "a": 1 }\n',
    '{\n    "a": 1\n}',
    '{\r\n "a": 1}',
    '7',
  ]
  for (const value of values) {
    for (const form of formsOf(utf8(value)))
      t.equal(
        edited(value, form, (text) => text),
        value,
        `${form} ${value}`,
      )
  }
})

t.test('an edit changes what was edited', async (t) => {
  const up = (text: string): string => text.replace('a', 'A')
  t.equal(edited('\u{feff}a\r\nb\r\n', 'text', up), '\u{feff}A\r\nb\r\n', 'line ends stay')
  t.equal(edited('{\r\n "a": 1\r\n}', 'json', up), '{\r\n "A": 1\r\n}', 'line ends of JSON, too')
  t.equal(edited('{"a":[1,2]}', 'json', up), '{"A":[1,2]}', 'JSON on one line stays there')
  t.equal(edited('{"a":1}\n', 'json', up), '{"A":1}\n')
  t.equal(edited('{\n    "a": 1\n}\n', 'json', up), '{\n    "A": 1\n}\n', 'a layout stays')
  t.equal(
    edited('a', 'hex', (text) => `${text} 0a 62`),
    'a\nb',
  )
  const draft = draftOf(utf8('{"a":1}'), 'json')
  t.ok(draft.kind === 'draft' && isSavedOnOneLine(draft.draft))
})

t.test('an edit that would change more, or that is wrong, is refused with the reason', async (t) => {
  const none = (text: string): string => text
  t.match(edited('a\r\nb\n', 'text', none), 'line ends of several kinds')
  t.match(edited('a\rb', 'text', none), 'line ends of several kinds')
  t.match(edited('{\r\n "a": 1\n}', 'json', none), 'line ends of several kinds')
  t.match(edited('{\r"a": 1}', 'json', none), 'line ends of several kinds')
  t.match(edited('a\0', 'text', none), 'control characters')
  t.match(edited('{"a"', 'json', none), /^It is not valid JSON: .+/)
  t.match(
    edited('{"a":1}', 'json', (text) => `${text},`),
    /^This is not valid JSON: .+/,
  )
  t.match(
    edited('a', 'hex', () => '6'),
    'Line 1: expected two hexadecimal digits',
  )
  t.match(
    edited('a', 'text', () => '\ud800'),
    'half of a character',
  )
  t.match(edited('x'.repeat(70_000), 'hex', none), 'too large to be edited as hex: 70000 of at most 65536 bytes')
  t.same(draftOf(Uint8Array.of(0xff), 'text'), {
    kind: 'refused',
    reason: 'It is not valid UTF-8: edit it as hex.',
  })
})

function shown(comparison: Comparison): string[] {
  if (comparison.kind !== 'different') return [comparison.kind]
  const sign = { same: ' ', removed: '-', added: '+' }
  const text = ({ kind, number, parts }: DiffLine): string =>
    `${sign[kind]}${number} ${parts.map((part) => (part.isChanged ? `[${part.text}]` : part.text)).join('')}`
  return comparison.difference.blocks.flatMap(({ isFolded, lines }) =>
    isFolded ? [`${lines.length} folded`] : lines.map(text),
  )
}

t.test('two values are compared line by line, and changed lines within', async (t) => {
  const compared = (a: string | null, b: string | null): string[] =>
    shown(compareValues(a === null ? null : utf8(a), b === null ? null : utf8(b)))
  t.same(compared('a', 'a'), ['equal'])
  t.same(compared(null, null), ['equal'])
  t.same(compared('one\ntwo\nthree', 'one\ntwo!\nthree\nfour'), [
    ' 1 one',
    '-2 two',
    '+2 two[!]',
    ' 3 three',
    '+4 four',
  ])
  t.same(compared(null, 'a\nb'), ['+1 a', '+2 b'])
  t.same(compared('a\nb', null), ['-1 a', '-2 b'])
  t.same(compared('a\n', 'a'), [' 1 a', '-2 '], 'a line break at the end counts')
  t.same(compared('{"a":1,"b":2}', '{"a":1,"b":3}'), [' 1 {', ' 2   "a": 1,', '-3   "b": [2]', '+3   "b": [3]', ' 4 }'])
  t.same(compared('{"a":1}', '{"a": 1}'), ['-1 {"a":1}', '+1 {"a":[ ]1}'], 'a difference of the layout alone')
  t.same(compared('x😀y', 'x😁y'), ['-1 x[😀]y', '+1 x[😁]y'], 'characters stay whole')
  t.same(compared(null, ''), [])
})

t.test('lines far from a change are folded', async (t) => {
  const lines = Array.from({ length: 100 }, (_, at) => `line ${at + 1}`)
  const other = lines.with(49, 'another')
  t.same(shown(compareValues(utf8(lines.join('\n')), utf8(other.join('\n')))), [
    '46 folded',
    ' 47 line 47',
    ' 48 line 48',
    ' 49 line 49',
    '-50 [line 50]',
    '+50 [another]',
    ' 51 line 51',
    ' 52 line 52',
    ' 53 line 53',
    '47 folded',
  ])
})

t.test('binary values are compared as hex, and values without anything in common are not compared', async (t) => {
  const [a, b] = [Uint8Array.of(0xff, 1, 2), Uint8Array.of(0xff, 1, 3)]
  t.same(shown(compareValues(a, b)), ['-1 ff 01 0[2]', '+1 ff 01 0[3]'])
  const numbers = (first: number): Uint8Array =>
    utf8(Array.from({ length: 5000 }, (_, at) => String(first + at)).join('\n'))
  t.same(compareValues(numbers(0), numbers(10_000)), { kind: 'unlike' })
  t.same(compareValues(new Uint8Array(3_000_000), new Uint8Array(2_000_000)), { kind: 'unlike' })
})

t.test('a long line shows where it changed', async (t) => {
  const [a, b] = ['x', 'y'].map((middle) => utf8(`${'a'.repeat(50_000)}${middle}${'b'.repeat(50_000)}`))
  const lines = shown(compareValues(a ?? null, b ?? null))
  t.same(
    lines,
    ['x', 'y'].map((middle) => `${middle === 'x' ? '-' : '+'}1 … ${'a'.repeat(120)}[${middle}]${'b'.repeat(120)} …`),
  )
})
