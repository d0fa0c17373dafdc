// Which sources a test answers for when `npm run coverage:core` demands full coverage: the pure core, nothing else.
import { readdirSync } from 'node:fs'

const core = ['src/raft', 'src/kv'].flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`),
)

export default () => core
