// Selects the sources that `npm run coverage:core` requires to be fully covered: the pure core and nothing else.
import { readdirSync } from 'node:fs'

const core = ['src/raft', 'src/kv'].flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`),
)

export default () => core
