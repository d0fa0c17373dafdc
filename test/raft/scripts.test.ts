/**
 * Directed scenarios, readable: `scripts/*.txt` hold commands and what they print, each with the story it pins.
 *
 * `REWRITE=1 npx tap test/raft/scripts.test.ts` writes what is printed now into the scripts. Read the difference before you keep it:
 * it has to be right, not only new. A broken invariant fails in either case.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { runScript } from './support/script.ts'

const rewrite = process.env['REWRITE'] === '1'
const folder = new URL('scripts/', import.meta.url)
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.txt'))
  .sort()

t.test('scripts', async (t) => {
  for (const name of names) {
    await t.test(name, async (t) => {
      const file = new URL(name, folder)
      const script = readFileSync(file, 'utf8')
      const { text, differences } = runScript(name, script)
      if (rewrite && text !== script) writeFileSync(file, text)
      t.equal(rewrite ? '' : differences.join('\n'), '', 'prints what the script says')
    })
  }
})

const STORY = '# A story,\n# on two lines.\n\n'
const STATUS = 'cluster 1\nstatus\n----\n'
const PRINTED = '1 learner 0.0 commit - log - []\n'

t.test('a changed output is noticed, shown line by line, and written on request', async (t) => {
  const good = STORY + STATUS + PRINTED
  t.same(runScript('x.txt', good), { text: good, differences: [] })

  const changed = `${STORY}${STATUS}1 leader\n${PRINTED}`
  const { text, differences } = runScript('x.txt', changed)
  t.equal(text, good, 'the expected part is made again, the rest stays')
  t.same(differences, ['x.txt:7:', '- 1 leader', `  ${PRINTED.trimEnd()}`])
  t.same(runScript('x.txt', STORY + STATUS).differences, ['x.txt:7:', `+ ${PRINTED.trimEnd()}`], 'a line is missing')
  t.same(runScript('x.txt', `${STORY}cluster 1\n----\nok\n`).differences, [], 'nothing printed is "ok"')
  t.same(
    runScript('x.txt', `${STORY}\n${STATUS}${PRINTED}`).differences,
    ['x.txt: parts are not one blank line apart'],
    'the layout is fixed too',
  )
})

t.test('a malformed script names the file and the line', async (t) => {
  const fails = (script: string, message: string): void => {
    t.throws(() => runScript('x.txt', script), { message })
  }
  const command = (text: string): string => `${STORY}cluster 1 2\n${text}\n----\nok\n`
  fails('cluster 1\n----\nok\n', 'x.txt:1: a script opens with its story, 2 to 6 lines of comment')
  fails('# One line.\n\ncluster 1\n----\nok\n', 'x.txt:1: a script opens with its story, 2 to 6 lines of comment')
  fails(STORY, 'x.txt:3: a script has commands')
  fails(`${STORY}cluster 1`, 'x.txt:4: the file does not end with a line break')
  fails(`${STORY}cluster 1\nstatus\n`, 'x.txt:5: "----" is missing after a command')
  fails(`${STORY}----\nok\n`, 'x.txt:4: "----" stands without a command')
  fails(`${STORY}cluster 1\n# why\nstatus\n----\nok\n`, 'x.txt:5: a comment stands among commands')
  fails(command(' status'), 'x.txt:5: a command begins or ends with white space')
  fails(command('dance 1'), 'x.txt:5: dance 1: "dance" is not a command')
  fails(command('campaign'), 'x.txt:5: campaign: a node is missing')
  fails(command('campaign one'), 'x.txt:5: campaign one: "one" is not a node')
  fails(command('campaign 1 2'), 'x.txt:5: campaign 1 2: "2" is not understood')
  fails(command('campaign 3'), 'x.txt:5: campaign 3: there is no node 3')
  fails(command('tick 100'), 'x.txt:5: tick 100: "100" is not a duration like 100ms')
  fails(command('cut 1>2'), 'x.txt:5: cut 1>2: "1>2" is not a link like 1->2, 1<->2, *->2, 1,2<->3 or all')
  fails(command('deliver 1->2'), 'x.txt:5: deliver 1->2: nothing like that is on its way')
  fails(command('deliver all gossip'), 'x.txt:5: deliver all gossip: "gossip" is not a type of message')
  fails(command('restart 1'), 'x.txt:5: restart 1: node 1 runs')
  fails(command('cluster 3 3'), 'x.txt:5: cluster 3 3: a node is named twice')
  fails(command('options heartbeatMs=9'), 'x.txt:5: options heartbeatMs=9: options stand before the first node')
})

t.test('a broken invariant fails, whatever the script expects', async (t) => {
  // Two logs with the same entry 1.1@1 after different ones cannot come about.
  const script = `${STORY}prepare 1 2\nlog 1 = 0.0x1 1.1x1\nlog 2 = 0.0x1 1.2x1 1.1x1\nstart 1 2\n----\nok\n`
  t.throws(() => runScript('x.txt', script), { name: 'Error', message: /^x\.txt:7: start 1 2: .*ballots ascend/ })
  const twice = `${STORY}prepare 1 2 3\nlog 1 = 0.0x1 1.1x1 2.1x1\nlog 2 = 0.0x1 2.1x2\nstart 1 2\n----\nok\n`
  t.throws(() => runScript('x.txt', twice), { message: /^x\.txt:7: start 1 2: entry 2:2\.1 is/ })
})
