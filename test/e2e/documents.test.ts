import t from 'tap'
import { follow } from './support/document.ts'

/** Each page, and what has to be in what its commands print. */
const pages: readonly (readonly [name: string, ...expected: readonly RegExp[]])[] = [
  ['README.md', /"clusterId"[\s\S]*412[\s\S]*world/, /2 +http:\/\/127\.0\.0\.1:7002[\s\S]*world\n/],
  ['docs/HTTP.md'],
  ['docs/METRICS.md'],
  ['docs/OPERATIONS.md'],
]

for (const [name, ...expected] of pages) {
  t.test(`${name} does what it says, block by block`, (t) => follow(t, name, expected))
}
