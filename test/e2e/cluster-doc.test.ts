import { readFile } from 'node:fs/promises'
import t from 'tap'
import { follow } from './support/document.ts'

t.test('docs/CLUSTER.md does what it says, block by block', async (t) => {
  await follow(t, 'docs/CLUSTER.md', [
    /warning: node 2 says that it is at [\s\S]* run `quorate cluster set-addresses 2 --raft/,
    /formation +\w+: [\s\S]*joining +\w+: /,
    /The membership was not changed\. To do it: quorate recover/,
    // Nothing is left to say of the recovered cluster.
    /voters +2, 3, 4\n(?:(?!warning)[\s\S])*may fail +1 voter\n(?:(?!warning)[\s\S])*voters +11, 12, 13\n/,
    /voters +11, 12, 13\n[\s\S]*may fail +1 voter\n/,
  ])
})

t.test('docs/CLUSTER.md has pictures', async (t) => {
  const text = await readFile(new URL('../../docs/CLUSTER.md', import.meta.url), 'utf8')
  t.ok(text.split('```mermaid').length > 5)
})
