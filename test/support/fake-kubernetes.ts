import { existsSync, readFileSync } from 'node:fs'
import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCommand, type Ran } from '../e2e/support/run-command.ts'
import { temporaryDirectory, type Owner } from './temporary-directory.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Does what the scripts and pages ask of `kubectl`, over directories: a claim is a directory, a pod is a file with the name of its claim, and a
 * command in a pod is run here, with the claim's directory where it says /data. Anything else is an error.
 */
const KUBECTL = `#!/bin/sh
set -eu
here=$PWD
cd "$(dirname "$0")/../state"
echo "$*" >> calls
words=$(echo "$*" | sed 's/--namespace [^ ]* *//')
if [ "$1" = --namespace ]; then shift 2; fi
claim_of() { cat "pods/$1" 2> /dev/null || { echo "pods \\"$1\\" not found" >&2; exit 1; }; }
case $words in
  'get statefulset/quorate '*image*) echo there/quorate:1 ;;
  'get statefulset/quorate '*replicas*) cat replicas ;;
  'scale '*'--replicas '*)
    echo "\${words##*--replicas }" | cut -d ' ' -f 1 > replicas
    if [ -e hook-scale ]; then sh ./hook-scale; fi
    ;;
  'get pods --selector app.kubernetes.io/name=quorate -o name')
    if [ -e stubborn ]; then echo pod/quorate-2; fi
    number=$(cat replicas)
    while [ "$number" -gt 0 ]; do echo "pod/quorate-$number"; number=$((number - 1)); done
    ;;
  'create -f -')
    cat > manifest
    name=$(sed -n 's/^  name: //p' manifest)
    if [ -e "pods/$name" ]; then echo "pods \\"$name\\" already exists" >&2; exit 1; fi
    if grep -qE '(NAME|CLAIM|IMAGE)$' manifest; then echo 'a word was not filled in' >&2; exit 1; fi
    if [ "$(grep -c claimName manifest)" != 1 ]; then echo 'two claims may lie in two zones' >&2; exit 1; fi
    sed -n 's/^ *claimName: //p' manifest > "pods/$name"
    sed -n 's/^ *image: //p' manifest >> images
    ;;
  'get pod/'*jsonpath*)
    name=\${words#get pod/} name=\${name%% *}
    if [ -d "claims/$(claim_of "$name")" ]; then echo True/; else echo /Unschedulable; fi
    ;;
  'get events '*) echo 'FailedScheduling: persistentvolumeclaim not found' ;;
  'exec -i quorate-on-'*)
    claim=$(claim_of "$3")
    directory=$PWD/claims/$claim
    shift 4
    if [ -e hook-exec ]; then sh ./hook-exec "$claim" "$*"; fi
    count=$#
    while [ "$count" -gt 0 ]; do
      word=$(printf '%s.' "$1" | sed "s,/data\\\\b,$directory,g")
      shift
      set -- "$@" "\${word%.}"
      count=$((count - 1))
    done
    cd "$directory"
    exec "$@"
    ;;
  'exec quorate-'[1-9]* | 'exec -i quorate-'[1-9]*)
    pod=\${words#exec } pod=\${pod#-i } pod=\${pod%% *}
    if [ ! -e servers ]; then exit 0; fi
    server=$(sed -n "\${pod#quorate-}p" servers)
    while [ "$1" != -- ]; do shift; done
    shift
    count=$#
    while [ "$count" -gt 0 ]; do
      word=$(printf '%s.' "$1" | sed -e "s,/data\\b,$PWD/claims/data-$pod,g" -e "s,/etc/quorate-tls\\b,$PWD/secrets/quorate-tls,g")
      shift
      set -- "$@" "\${word%.}"
      count=$((count - 1))
    done
    QUORATE_SERVER=$server exec "$@"
    ;;
  'create namespace '*) mkdir -p "namespaces/\${words#create namespace }" ;;
  'create secret generic '*)
    name=$4
    mkdir -p "secrets/$name"
    for word in $words; do
      case $word in
        --from-file=*=/dev/stdin) file=\${word#--from-file=} && cat > "secrets/$name/\${file%%=*}" ;;
        --from-file=*) cp "$here/\${word#--from-file=}" "secrets/$name/" ;;
      esac
    done
    ;;
  'create job --from=cronjob/quorate-backup '*) grep -q 'kind: CronJob' applied && touch "\${words##* }.job" ;;
  'logs job/'*) test -e "\${words#logs job/}.job" ;;
  'apply -f -') cat > applied-stdin ;;
  'apply -f '*) cp "$here/\${words#apply -f }" "applied-$(basename "$words")" ;;
  'apply -k .')
    # The real program builds without a cluster. Where there is none, what it would build from is all that can be shown.
    PATH=\${PATH#*:}
    if command -v kubectl > /dev/null; then kubectl kustomize "$here" > applied; else cat "$here"/*.yaml "$here"/*/*.yaml > applied; fi
    count=$(sed -n '/^kind: StatefulSet/,/^---/s/^  replicas: //p' applied)
    echo "$count" | head -n 1 > replicas
    ;;
  'delete pod '*)
    shift 2
    for name in "$@"; do rm -f "pods/$name"; done
    ;;
  'delete pvc '*)
    for name in \${words#delete pvc }; do
      if [ "$name" != --wait=false ]; then rm -r "claims/$name"; fi
    done
    ;;
  'rollout status '* | 'wait '*) ;;
  *) echo "no such command here: $words" >&2; exit 64 ;;
esac
`

/** A cluster of Kubernetes in a directory, with the program as `quorate`. */
export class FakeKubernetes {
  private readonly owner: Owner
  readonly directory: string

  private constructor(owner: Owner, directory: string) {
    this.owner = owner
    this.directory = directory
  }

  static async make(owner: Owner, claims: readonly string[]): Promise<FakeKubernetes> {
    const cluster = new FakeKubernetes(owner, await temporaryDirectory(owner))
    const quorate = `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'dist', 'quorate.cjs')}' "$@"\n`
    await mkdir(join(cluster.directory, 'bin'))
    await mkdir(join(cluster.directory, 'state', 'pods'), { recursive: true })
    await writeFile(join(cluster.directory, 'bin', 'kubectl'), KUBECTL, { mode: 0o755 })
    await writeFile(join(cluster.directory, 'bin', 'quorate'), quorate, { mode: 0o755 })
    const kustomize = `#!/bin/sh\nQUORATE_ROOT='${root}' exec '${process.execPath}' '${join(root, 'test/documents/stand-ins/kustomize.mjs')}' "$@"\n`
    await writeFile(join(cluster.directory, 'bin', 'kustomize'), kustomize, { mode: 0o755 })
    await cluster.set('replicas', '3')
    for (const claim of claims) await mkdir(cluster.claim(claim), { recursive: true })
    await cp(join(root, 'deploy'), join(cluster.directory, 'deploy'), { recursive: true })
    return cluster
  }

  /** The directory of a claim. */
  claim(name: string): string {
    return join(this.directory, 'state', 'claims', name)
  }

  /** What the state file `name` holds; null: there is none. */
  state(name: string): string | null {
    const path = join(this.directory, 'state', name)
    return existsSync(path) ? readFileSync(path, 'utf8') : null
  }

  async set(name: string, text: string | null): Promise<void> {
    const path = join(this.directory, 'state', name)
    await (text === null ? rm(path, { force: true }) : writeFile(path, text))
  }

  /** Runs lines of a page beside a copy of `deploy/`, in bash. */
  async run(lines: string, environment: Readonly<Record<string, string>> = {}): Promise<Ran> {
    const path = [join(this.directory, 'bin'), process.env['PATH'] ?? ''].join(delimiter)
    return await runCommand(this.owner, ['bash', '-c', `set -eu\n${lines}`], {
      cwd: this.directory,
      environment: { PATH: path, UNSCHEDULABLE_AFTER: '1', READY_WITHIN: '3', ...environment },
    })
  }
}
