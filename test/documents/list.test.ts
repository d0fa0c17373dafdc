import t from 'tap'
import { read } from '../support/deploy-files.ts'
import { commandsIn, documents, grammarMistakesIn, type Commands } from './blocks.ts'
import { notRun, pasted, runOneByOne } from './registry.ts'

const all = documents().flatMap(commandsIn)
const placeOf = ({ page, heading, nth }: Commands): string => `${page}, "${heading}", block ${nth}`
const isPasted = ({ page, needs }: Commands): boolean => needs === null && (pasted as readonly string[]).includes(page)
const placesOf = (rows: typeof runOneByOne | typeof notRun): readonly string[] =>
  rows.flatMap(({ page, heading, blocks }) => blocks.map((nth) => `${page}, "${heading}", block ${nth}`))

t.test('each block of commands in a document is run by a test, or the registry says why not', (t) => {
  const run = placesOf(runOneByOne)
  const left = placesOf(notRun)
  t.ok(all.length > 100, `${all.length} blocks`)
  t.same(
    all
      .filter((block) => !isPasted(block) && !run.includes(placeOf(block)) && !left.includes(placeOf(block)))
      .map(placeOf),
    [],
    'no test runs these',
  )
  const there = new Set(all.filter((block) => !isPasted(block)).map(placeOf))
  t.same(
    [...run, ...left].filter((place) => !there.has(place)),
    [],
    'the registry names blocks that are there, and are not pasted',
  )
  t.same([...run, ...left].toSorted(), [...new Set([...run, ...left])].toSorted(), 'it names each once')
  t.end()
})

t.test('the tests that the registry names are there, and speak of these blocks', (t) => {
  for (const { test, heading } of runOneByOne) t.ok(read(test).includes(`'${heading}'`), `${test}: ${heading}`)
  for (const { reason, instead, heading } of notRun) {
    const [test, name] = instead
    t.ok(read(test).includes(name), `${heading} is not run, for ${reason}: instead, ${test}: ${name}`)
  }
  const followers = read('test/e2e/documents.test.ts') + read('test/e2e/cluster-doc.test.ts')
  for (const page of pasted) t.ok(followers.includes(`'${page}'`), `${page} is pasted`)
  t.end()
})

t.test('no command of a document hides from the list, and bash can read all of them', (t) => {
  for (const page of documents()) {
    const fences = [...read(page).matchAll(/^([ \t]*)```(\S+)/gm)]
    const strange = fences.filter(
      ([, indent, language = '']) => indent !== '' || /^(bash|shell|zsh|sh-session)$/.test(language),
    )
    t.same(
      strange.map(([fence]) => fence),
      [],
      `${page} marks commands with sh, at the beginning of the line`,
    )
  }
  for (const block of all) t.equal(grammarMistakesIn(block.code), '', `${placeOf(block)}, line ${block.line}`)
  t.end()
})
