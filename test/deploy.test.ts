import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DCLinter } from 'dclint'
import t, { type Test } from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import type { Config } from '../src/config/config.ts'
import { readConfig } from '../src/config/read-config.ts'
import { describeMistakes } from '../src/config/setting.ts'
import { exitCodes } from '../src/cli/terminal.ts'
import { limits } from '../src/limits.ts'
import { version } from '../src/version.ts'
import { runCommand } from './e2e/support/run-command.ts'
import {
  kubernetes,
  manifests,
  read,
  root,
  statefulSet,
  variablesOf,
  type EnvironmentVariable,
  type Manifest,
  type Variables,
} from './support/deploy-files.ts'
import { mistakesIn, type KubernetesObject } from './support/kubernetes-types.ts'
import { missing } from './support/missing.ts'
import { runCli } from './support/run-cli.ts'
import { temporaryDirectory } from './support/temporary-directory.ts'
import { startTestNode } from './support/test-node.ts'

/** The settings that `serve` reads from `flags` and `variables`, with those of the image below them. */
function settingsInImage(flags: readonly string[], variables: Variables, directory: string = root): Config {
  const image = [...read('Dockerfile').matchAll(/(QUORATE_\w+)=(\S+)/g)].map(([, name = '', text = '']) => [name, text])
  const environment = Object.entries(variables).map(([name, text]) => [name, String(text)])
  return settingsOf(flags, Object.fromEntries([...image, ...environment]) as Record<string, string>, directory)
}

function settingsOf(flags: readonly string[], environment: Record<string, string>, directory: string = root): Config {
  const outcome = readConfig(flags, environment, directory)
  if (outcome.kind === 'mistakes') throw new Error(describeMistakes(outcome.mistakes))
  if (outcome.warnings.length > 0) throw new Error(outcome.warnings.join(', '))
  return outcome.config
}

/** Runs a program that may not be there; null: it is not. */
function run(
  program: string,
  words: readonly string[],
): { readonly code: number | null; readonly said: string } | null {
  const { error, status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8' })
  if (error !== undefined && 'code' in error && error.code === 'ENOENT') return null
  return { code: status, said: stdout + stderr }
}

interface Service {
  readonly image: string
  readonly restart: string
  readonly hostname: string
  readonly environment: Variables
  readonly ports: readonly string[]
  readonly volumes: readonly string[]
  readonly healthcheck: { readonly test: readonly string[] }
}

/** What the schema of Compose has against a file. */
function composeMistakesIn(path: string): readonly string[] {
  const linter = new DCLinter({ rules: {}, quiet: true, debug: false, exclude: [] })
  const [result] = linter.lintFiles([path], false)
  if (result === undefined) throw new Error(`${path} was not looked at`)
  // The types of the package leave this open.
  const messages = result.messages as readonly { readonly rule: string; readonly message: string }[]
  const ofSchema = ['invalid-yaml', 'invalid-schema', 'unknown-error']
  // All else that it looks for is style.
  return messages.filter(({ rule }) => ofSchema.includes(rule)).map(({ message }) => message)
}

t.test('compose.yml: nothing that the schema of Compose does not know', async (t) => {
  const path = join(root, 'deploy/compose.yml')
  t.same(composeMistakesIn(path), [])
  const wrong = join(await temporaryDirectory(t), 'compose.yml')
  const mistakes = [
    ['stop_grace_period:', 'stop_grace_periode:'],
    ['start_period:', 'start_periods:'],
    ['read_only: true', 'read_only: [true]'],
    ['\nvolumes:', '\nvolume:'],
  ] as const
  for (const [right, mistake] of mistakes) {
    await writeFile(wrong, read('deploy/compose.yml').replace(right, mistake))
    t.not(composeMistakesIn(wrong).length, 0, `${mistake.trim()} is found`)
  }

  const client = run('docker', ['compose', 'version'])
  if (client?.code !== 0) return missing(t, 'docker compose', 'it is not installed here')
  const checked = run('docker', ['compose', '-f', path, 'config', '--quiet'])
  t.same(checked, { code: 0, said: '' })
})

t.test('compose.yml: three nodes that find each other, with settings that a node takes', async (t) => {
  const file = parse(read('deploy/compose.yml'), { merge: true }) as {
    services: Record<string, Service>
    volumes: object
  }
  const services = Object.entries(file.services)
  t.equal(services.length, 3)
  t.match(read('docs/OPERATIONS.md'), '--restart unless-stopped')
  for (const [at, [name, service]] of services.entries()) {
    const config = settingsInImage([], service.environment)
    t.equal(config.id, at + 1)
    t.equal(service.hostname, name, 'what the node advertises can be looked up')
    t.equal(service.image, `quorate:${version}`)
    t.equal(service.restart, 'unless-stopped', 'it is there again after a reboot, which ends it with 0')
    const addresses = config.discover?.kind === 'static' ? config.discover.addresses : []
    t.same(
      addresses,
      services.map(([host]) => `${host}:${config.raft.port}`),
      'every node is in the list',
    )
    t.same(service.ports, [`127.0.0.1:${7001 + at}:${config.api.port}`])
    t.same(service.volumes, [`${name}:${config.dataDirectory}`])
    t.ok(name in file.volumes)
    const [kind, program, ...words] = service.healthcheck.test
    t.same([kind, program], ['CMD', 'quorate'])
    t.equal((await runCli([...words, '--server', '127.0.0.1:1'])).code, 9, 'the health check is a command')
  }
})

t.test('kubernetes: manifests have the fields of the API, and values of their types', async (t) => {
  const files = readdirSync(join(root, kubernetes), { recursive: true, encoding: 'utf8' })
  const objects = files
    .filter((name) => name.endsWith('.yaml'))
    .flatMap((name) => parseAllDocuments(read(`${kubernetes}/${name}`)).map((one) => one.toJS() as KubernetesObject))
    // The configuration of a node has no version of an API, and kustomize has its own.
    .filter(({ apiVersion }) => apiVersion !== undefined && !apiVersion.startsWith('kustomize'))
  t.ok(objects.length >= 7, `${objects.length} objects`)
  t.same(mistakesIn(objects, root), [])
  const service = objects.find(({ kind }) => kind === 'Service') as KubernetesObject & { readonly spec: object }
  const changed = (spec: object): string => {
    const other = { ...service, spec: { ...service.spec, ...spec } }
    return mistakesIn([other], root).join()
  }
  t.match(changed({ port: [] }), /"port".* does not exist/)
  t.match(changed({ ports: '7001' }), /not assignable/)
})

t.test('kubernetes: each pod has the settings of a node of its own, which finds the others', async (t) => {
  const { serviceName, replicas, ordinals, template } = statefulSet()
  const [container] = template.spec.containers
  const [command, ...flags] = container.args
  t.equal(command, 'serve')
  const mount = container.volumeMounts.find(({ name }) => name === 'settings')?.mountPath ?? ''
  const inRepository = flags.map((flag) => flag.replace(`${mount}/`, join(root, kubernetes, '/')))
  const ports = Object.fromEntries(container.ports.map(({ name, containerPort }) => [name, containerPort]))
  for (let at = 0; at < replicas; at++) {
    const ordinal = ordinals.start + at
    const config = settingsInImage(inRepository, variablesOf(container, ordinal))
    t.equal(config.id, ordinal)
    t.same(ports, { api: config.api.port, raft: config.raft.port })
    t.equal(config.api.host, '0.0.0.0')
    t.match(config.discover, { kind: 'dns', name: serviceName, port: config.raft.port })
    t.equal(config.expect, replicas)
    t.equal(config.raftAdvertise, `quorate-${ordinal}.${serviceName}.store.svc:${config.raft.port}`)
    const address = `quorate-${ordinal}.${serviceName}.store.svc:${config.api.port}`
    t.same(config.apiAdvertise, { scheme: null, address })
    const data = container.volumeMounts.find(({ name }) => name === 'data')?.mountPath
    t.ok(config.dataDirectory.startsWith(`${data}/`), 'below the volume, whose own directory may hold lost+found')
  }
})

t.test('kubernetes: selectors, ports, probes and images fit each other', async (t) => {
  const { serviceName, template } = statefulSet()
  const [container] = template.spec.containers
  const all = manifests()
  const kinds = ['Service', 'Service', 'StatefulSet', 'PodDisruptionBudget', 'NetworkPolicy']
  t.same(
    all.map(({ kind }) => kind),
    kinds,
  )
  const selected = JSON.stringify(template.metadata.labels)
  for (const { kind, spec } of all) {
    const selector = kind === 'Service' ? spec['selector'] : (spec['selector'] ?? spec['podSelector'])
    t.equal(JSON.stringify(kind === 'Service' ? selector : (selector as { matchLabels: object }).matchLabels), selected)
  }
  const peers = all.find(({ metadata }) => metadata.name === serviceName)
  t.match(peers?.spec, { clusterIP: 'None', publishNotReadyAddresses: true })
  const named = container.ports.map(({ name }) => name)
  for (const { kind, spec } of all) {
    if (kind !== 'Service') continue
    for (const { targetPort } of spec['ports'] as { targetPort: string }[]) t.ok(named.includes(targetPort))
  }
  t.same(
    [container.startupProbe, container.livenessProbe, container.readinessProbe].map(({ httpGet }) => httpGet),
    ['/livez', '/livez', '/readyz'].map((path) => ({ path, port: 'api' })),
  )
  const kustomization = parse(read(`${kubernetes}/kustomization.yaml`)) as {
    resources: readonly string[]
    configMapGenerator: readonly { readonly name: string; readonly files: readonly string[] }[]
    images: readonly { readonly name: string; readonly newTag: string }[]
  }
  t.same(kustomization.images, [{ name: container.image, newTag: version }])
  const files = kustomization.configMapGenerator.flatMap((map) => map.files)
  t.same(
    [...kustomization.resources, ...files, 'kustomization.yaml', 'backup', 'one-machine', 'volumes'].sort(),
    readdirSync(join(root, kubernetes)).sort(),
    'no file is left out',
  )
})

t.test('kubernetes: with the component for fewer machines, nodes may share one', async (t) => {
  const directory = join(await temporaryDirectory(t), 'kubernetes')
  await cp(join(root, kubernetes), directory, { recursive: true })
  const path = join(directory, 'kustomization.yaml')
  const built = async (more: string): Promise<readonly KubernetesObject[]> => {
    await writeFile(path, `${read(`${kubernetes}/kustomization.yaml`)}${more}`)
    const { code, said } = run('kubectl', ['kustomize', directory]) ?? { code: null, said: 'kubectl is not installed' }
    if (code !== 0) throw new Error(said)
    return parseAllDocuments(said).map((one) => one.toJS() as KubernetesObject)
  }
  if (run('kubectl', ['version', '--client']) === null) return missing(t, 'kubectl', 'it is not installed here')
  const setIn = (objects: readonly KubernetesObject[]) => objects.find(({ kind }) => kind === 'StatefulSet')
  const alone = await built('components: [one-machine]\n')
  t.same(mistakesIn(alone, root), [])
  const required = /requiredDuringScheduling/
  t.notMatch(JSON.stringify(setIn(alone)), required)
  t.match(setIn(alone), {
    spec: {
      template: {
        spec: {
          affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100 }] } },
          containers: [{ resources: { requests: { memory: '256Mi' }, limits: { memory: '1536Mi' } } }],
        },
      },
    },
  })
  t.match(JSON.stringify(setIn(await built(''))), required, 'without it, they never do')
})

t.test('kubernetes: a pod that stops serves until nobody is sent to it any more, and has the time to stop', (t) => {
  const { terminationGracePeriodSeconds, containers } = statefulSet().template.spec
  const [container] = containers
  const [program, seconds] = container.lifecycle.preStop.exec.command
  t.equal(program, 'sleep')
  t.ok(Number(seconds) >= 5)
  const { shutdownTimeoutMs } = settingsInImage([], { QUORATE_ID: 1 })
  const needed = Number(seconds) + (shutdownTimeoutMs + limits.leaveMsMax) / 1000
  t.ok(terminationGracePeriodSeconds > needed, `${needed} s are needed`)
  t.end()
})

interface PodTemplate {
  readonly spec: {
    readonly securityContext: object
    readonly containers: readonly [
      { readonly image: string; readonly command: readonly string[]; readonly env: readonly EnvironmentVariable[] },
    ]
    readonly volumes: readonly { readonly persistentVolumeClaim?: { readonly claimName: string } }[]
  }
}

const backupTemplate = (): PodTemplate =>
  (parse(read(`${kubernetes}/backup/cron-job.yaml`)) as { spec: { jobTemplate: { spec: { template: PodTemplate } } } })
    .spec.jobTemplate.spec.template

t.test(
  'kubernetes: jobs have the image, the user and the volumes of the nodes, and kustomize takes the backups',
  async (t) => {
    const { spec: nodes } = statefulSet().template
    const [claim] = parseAllDocuments(read(`${kubernetes}/backup/claim.yaml`)).map((one) => one.toJS() as Manifest)
    const claimsOf = ({ spec }: PodTemplate): readonly string[] =>
      spec.volumes.flatMap(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName ?? [])
    t.same(claimsOf(backupTemplate()), [claim?.metadata.name])
    const { spec: holder } = parse(read(`${kubernetes}/volumes/pod.yaml`)) as PodTemplate
    t.same(claimsOf({ spec: holder }), ['CLAIM'], 'one claim: two may lie where no machine can mount both')
    for (const spec of [backupTemplate().spec, holder])
      t.match(nodes, { securityContext: spec.securityContext }, 'a fresh volume can be written to')
    t.equal(backupTemplate().spec.containers[0].image, 'quorate')

    const directory = join(await temporaryDirectory(t), 'kubernetes')
    await cp(join(root, kubernetes), directory, { recursive: true })
    const path = join(directory, 'kustomization.yaml')
    const backups = 'components: [backup]\nreplicas: [{name: quorate, count: 5}]\n'
    await writeFile(
      path,
      `${await readFile(path, 'utf8')}${backups}`.replace('newTag: ', 'newName: there/quorate\n    newTag: '),
    )
    const built = run('kubectl', ['kustomize', directory])
    if (built === null) return missing(t, 'kubectl', 'it is not installed here')
    t.equal(built.code, 0, built.said)
    const images = [...built.said.matchAll(/^ +image: (.*)$/gm)].map(([, image]) => image)
    t.same(images, [`there/quorate:${version}`, `there/quorate:${version}`], 'one image for nodes and backups')
    t.match(built.said, /^  replicas: 5$/m)
  },
)

t.test('backups are taken as they are scheduled, with a token of the role that the page makes', async (t) => {
  const directory = await temporaryDirectory(t)
  const node = await startTestNode(t, 1, join(directory, 'node'))
  const server = node.addresses.api
  const cli = async (line: string, environment = {}): Promise<string> => {
    const ran = await runCli(line.split(' '), { environment: { QUORATE_SERVER: server, ...environment } })
    if (ran.code !== 0) throw new Error(`${line}: ${ran.err}`)
    return ran.out
  }
  await cli('cluster initialize')
  await cli('kv put a b')
  const token = await cli('auth bootstrap')
  const page = read('docs/OPERATIONS.md')
  const [role = ''] = /auth role put backup .*/.exec(page) ?? []
  await cli(role, { QUORATE_TOKEN: token })
  const backupToken = await cli('auth token create backup --role backup', { QUORATE_TOKEN: token })
  await writeFile(join(directory, 'token'), backupToken)

  const programs = join(directory, 'bin')
  await mkdir(programs)
  const program = `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'dist', 'quorate.cjs')}' "$@"\n`
  await writeFile(join(programs, 'quorate'), program, { mode: 0o755 })
  const carryOut = async (command: readonly string[], variables: object) => {
    const environment = { PATH: `${programs}:${process.env['PATH'] ?? ''}`, ...variables }
    return await runCommand(t, command, { environment })
  }

  const unit = read('deploy/systemd/quorate-backup.service')
  const place = join(directory, 'systemd')
  await mkdir(place)
  const installed = '/usr/local/lib/node_modules/quorate/'
  t.match(unit, `ExecStart=/bin/sh ${installed}`)
  t.match(read('docs/OPERATIONS.md'), `cd ${installed}deploy/systemd`, 'where the package is installed')
  const started = (/^ExecStart=(.*)$/m.exec(unit)?.[1] ?? '').replace(installed, root)
  const words = started.split(' ').map((word) => word.replace('${STATE_DIRECTORY}', place))
  const named = { QUORATE_SERVER: server }
  t.match(read('deploy/systemd/backup.env'), /^QUORATE_SERVER=[\s\S]*^# QUORATE_TOKEN_FILE=/m)
  t.equal((await carryOut(words, named)).code, exitCodes.requestFailed, 'a token is needed')
  t.same(await readdir(place), [])
  const taken = await carryOut(words, { ...named, QUORATE_TOKEN_FILE: join(directory, 'token') })
  t.equal(taken.code, 0, taken.err)
  const [kept = '', ...others] = await readdir(place)
  t.match(kept, /^\d{4}-\d\d-\d\d\.backup$/)
  t.same(others, [])

  const volume = join(directory, 'volume')
  await mkdir(volume)
  const [job] = backupTemplate().spec.containers
  const variables = Object.fromEntries(job.env.map(({ name, value = backupToken }) => [name, value]))
  t.same(variables, { QUORATE_API: '', QUORATE_SERVER: 'quorate:7001', QUORATE_TOKEN: backupToken })
  const inVolume = job.command.map((word) => word.replace(/^\/backups$/, volume).replace(installed, root))
  const ran = await carryOut(inVolume, { ...variables, QUORATE_SERVER: server })
  t.equal(ran.code, 0, ran.err)
  t.same(await readdir(volume), [kept])
})

t.test(
  'systemd: the settings of the unit and of node.env are those of a node, and systemd takes the unit',
  async (t) => {
    const unit = read('deploy/systemd/quorate.service')
    const lines = [
      ...unit.matchAll(/^Environment=(\S+)$/gm),
      ...read('deploy/systemd/node.env').matchAll(/^(\w+=\S+)$/gm),
    ]
    const variables = lines.map(([, text = '']) => text.split(/=(.*)/s, 2))
    const config = settingsOf([], Object.fromEntries(variables) as Record<string, string>)
    t.match(config, { id: 1, dataDirectory: '/var/lib/quorate', api: { host: '10.0.0.1' } })
    t.match(unit, /^ExecStart=\/usr\/local\/bin\/quorate serve$/m)

    // The program has to be there for the check, wherever it is.
    const directory = await temporaryDirectory(t)
    const program = join(directory, 'quorate')
    await writeFile(program, '#!/bin/sh\n', { mode: 0o755 })
    const path = join(directory, 'quorate.service')
    await writeFile(path, unit.replace('/usr/local/bin/quorate', program))
    const backups = ['quorate-backup.service', 'quorate-backup.timer'].map((name) => join(root, 'deploy/systemd', name))
    const verified = run('systemd-analyze', ['verify', path, ...backups])
    if (verified === null) return missing(t, 'systemd-analyze', 'it is not installed here')
    t.same(verified, { code: 0, said: '' })
    await writeFile(path, unit.replace('/usr/local/bin/quorate', program).replace('Restart=on-failure', 'Restrat=on'))
    t.match(run('systemd-analyze', ['verify', path])?.said, /Restrat/, 'it would complain')

    const dropIn = read('deploy/systemd/data-dir.conf')
    const named = [...dropIn.matchAll(/^(?:RequiresMountsFor|Environment=QUORATE_DATA_DIR|ReadWritePaths)=(.*)$/gm)]
    t.same(
      named.map(([, place]) => place),
      ['/srv/quorate', '/srv/quorate', '/srv/quorate'],
    )
    t.match(read('docs/OPERATIONS.md'), /install -d -m 0700 -o quorate -g quorate \/srv\/quorate$/m)
    await writeFile(path, unit.replace('/usr/local/bin/quorate', program))
    await mkdir(`${path}.d`)
    await writeFile(`${path}.d/data-dir.conf`, dropIn)
    t.same(run('systemd-analyze', ['verify', path]), { code: 0, said: '' }, 'with a data directory elsewhere')
    await writeFile(`${path}.d/data-dir.conf`, dropIn.replace('ReadWritePaths=/', 'ReadWritePaths='))
    t.match(run('systemd-analyze', ['verify', path])?.said, /path is not absolute/, 'the drop-in is read')
  },
)

/** The rules of the alerts. */
function rules() {
  const { groups } = parse(read('deploy/prometheus/alerts.yml')) as {
    groups: readonly {
      readonly rules: readonly { alert: string; expr: string; for?: string; annotations: { runbook: string } }[]
    }[]
  }
  return groups.flatMap((group) => group.rules)
}

interface Relabeling {
  readonly source_labels: readonly string[]
  readonly regex?: string
  readonly target_label?: string
  readonly replacement?: string
  readonly action?: string
}

interface Job {
  readonly job_name: string
  readonly authorization: { readonly credentials_file: string }
  readonly relabel_configs?: readonly Relabeling[]
  readonly kubernetes_sd_configs?: readonly object[]
}

const jobsIn = (text: string): readonly Job[] => (parse(text) as { scrape_configs: readonly Job[] }).scrape_configs

/** What `job` makes of a pod of the StatefulSet; null: it leaves it out. */
function targetOf({ job_name, relabel_configs = [] }: Job, labels: Record<string, string>): object | null {
  const target: Record<string, string> = { ...labels, job: job_name }
  for (const { source_labels, regex = '(.*)', target_label, replacement = '$1', action } of relabel_configs) {
    const found = new RegExp(`^(?:${regex})$`).exec(source_labels.map((name) => target[name] ?? '').join(';'))
    if (action === 'keep' && found === null) return null
    if (target_label === undefined || found === null) continue
    target[target_label] = replacement.replaceAll(/\$(\d)/g, (_, at: string) => found[Number(at)] ?? '')
  }
  return { address: target['__address__'], job: target['job'] }
}

t.test(
  'scraping: every job sends a token, is known to the rules, and finds each node where it says that it is',
  async (t) => {
    const [onServers] = jobsIn(read('deploy/prometheus/scrape.yml'))
    const [inKubernetes] = jobsIn(read('deploy/prometheus/scrape-kubernetes.yml'))
    if (onServers === undefined || inKubernetes === undefined) throw new Error('each file has a job')
    const shown = [...read('docs/OPERATIONS.md').matchAll(/^```yaml\n(scrape_configs:[\s\S]*?)^```$/gm)]
    t.same(jobsIn(shown[0]?.[1] ?? ''), [onServers], 'the page shows the same')

    const { template, serviceName } = statefulSet()
    const [container] = template.spec.containers
    const pod = {
      __meta_kubernetes_pod_name: 'quorate-2',
      __meta_kubernetes_namespace: 'store',
      __meta_kubernetes_pod_container_port_name: 'api',
    }
    const { QUORATE_API_ADVERTISE: address } = variablesOf(container, 2)
    t.equal(address, `quorate-2.${serviceName}.store.svc:7001`)
    t.same(targetOf(inKubernetes, pod), { address, job: 'quorate/store' })
    t.equal(targetOf(inKubernetes, { ...pod, __meta_kubernetes_pod_container_port_name: 'raft' }), null)
    t.notMatch(read('deploy/kubernetes/statefulset.yaml'), /prometheus\.io/, 'no job without a token is invited')

    const known = /up\{job=~"(.*?)"\}/.exec(rules()[0]?.expr ?? '')?.[1] ?? ''
    const directory = await temporaryDirectory(t)
    const token = join(directory, 'token')
    await writeFile(token, 'a token')
    const label = Object.entries(template.metadata.labels).map((pair) => pair.join('='))[0]
    for (const job of [onServers, inKubernetes]) {
      t.match(job.job_name, new RegExp(`^(?:${known})$`))
      // Debian builds Prometheus without Kubernetes.
      const { kubernetes_sd_configs: pods, ...rest } = { ...job, authorization: { credentials_file: token } }
      t.same(pods, job === onServers ? undefined : [{ role: 'pod', selectors: [{ role: 'pod', label }] }])
      const path = join(directory, 'prometheus.yml')
      await writeFile(path, JSON.stringify({ scrape_configs: [rest] }))
      const checked = run('promtool', ['check', 'config', path])
      if (checked === null) return missing(t, 'promtool', 'it is not installed here')
      t.equal(checked.code, 0, checked.said)
    }
  },
)

t.test('scraping: the Prometheus operator reads the same pods in the same way', (t) => {
  const { template } = statefulSet()
  const [container] = template.spec.containers
  const [inKubernetes] = jobsIn(read('deploy/prometheus/scrape-kubernetes.yml'))
  const monitor = parse(read('deploy/prometheus/pod-monitor.yaml')) as {
    readonly spec: {
      readonly selector: { readonly matchLabels: object }
      readonly podMetricsEndpoints: readonly [
        {
          readonly port: string
          readonly authorization: { readonly credentials: { readonly name: string; readonly key: string } }
          readonly relabelings: readonly Record<string, unknown>[]
        },
      ]
    }
  }
  const [endpoint] = monitor.spec.podMetricsEndpoints
  t.same(monitor.spec.selector.matchLabels, template.metadata.labels)
  t.ok(container.ports.some(({ name }) => name === endpoint.port))
  t.same(
    endpoint.relabelings.map(({ sourceLabels, targetLabel, ...rest }) => {
      return { source_labels: sourceLabels, target_label: targetLabel, ...rest }
    }),
    inKubernetes?.relabel_configs?.filter(({ action }) => action !== 'keep'),
  )
  const { name, key } = endpoint.authorization.credentials
  t.match(read('docs/OPERATIONS.md'), `create secret generic ${name} --namespace quorate --from-file=${key}=`)
  t.end()
})

/** Names that a node serves, with the series that belong to histograms and summaries. */
async function servedNames(t: Test): Promise<ReadonlySet<string>> {
  const node = await startTestNode(t, 1, await temporaryDirectory(t))
  const text = await (await fetch(`${node.addresses.api}/metrics`)).text()
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)]
  return new Set(
    types.flatMap(([, name = '', type]) => {
      if (type === 'histogram') return [`${name}_bucket`, `${name}_sum`, `${name}_count`]
      return type === 'summary' ? [name, `${name}_sum`, `${name}_count`] : [name]
    }),
  )
}

const metricsIn = (text: string): readonly string[] =>
  [...text.matchAll(/\b(?:quorate|process|nodejs)_[a-z0-9_]+\b/g)].map(([name]) => name)

/** The anchors that the headings of a page have where it is shown. */
function anchorsOf(page: string): ReadonlySet<string> {
  const headings = page.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/^#+ (.*)$/gm)
  return new Set(
    [...headings].map(([, text = '']) =>
      text
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    ),
  )
}

/** A duration of Prometheus, as docs/METRICS.md writes it. */
const spelled = (duration: string): string => duration.replace(/\D+$/, (unit) => (unit === 'm' ? ' min' : ` ${unit}`))

t.test('alerts: each has a runbook, a row in docs/METRICS.md, and a test that promtool runs', async (t) => {
  const files = ['alerts.test.yml', 'alerts.days.test.yml']
  const tests = files.flatMap((file) => {
    const parsed = parse(read(`deploy/prometheus/${file}`)) as { tests: readonly { readonly name: string }[] }
    return parsed.tests
  })
  const all = rules()
  t.ok(all.length > 10)
  const rows = [...read('docs/METRICS.md').matchAll(/^\| .*? \| \[(Quorate\w+)\]\((\S+)\) +\| (.*?) +\|/gm)]
  const documented = Object.fromEntries(rows.map(([, alert = '', link, expression]) => [alert, { link, expression }]))
  t.same(
    Object.keys(documented).toSorted(),
    all.map(({ alert }) => alert).toSorted(),
    'the page names each rule, and no other',
  )
  for (const { alert, expr, annotations, for: duration } of all) {
    const [file = '', anchor = ''] = annotations.runbook.split('#')
    t.ok(anchorsOf(read(file)).has(anchor), `${annotations.runbook} is a section`)
    t.equal(anchor, alert.toLowerCase())
    t.same(documented[alert], {
      link: annotations.runbook.replace('docs/', ''),
      expression: `\`${expr}\`${duration === undefined ? '' : ` for ${spelled(duration)}`}`,
    })
    t.ok(
      tests.some(({ name }) => name.split(',')[0] === alert),
      `${alert} is tested`,
    )
  }
  const checked = run('promtool', ['check', 'rules', join(root, 'deploy/prometheus/alerts.yml')])
  if (checked === null) return missing(t, 'promtool', 'it is not installed here')
  t.equal(checked.code, 0, checked.said)
  for (const file of files) {
    const tested = run('promtool', ['test', 'rules', join(root, 'deploy/prometheus', file)])
    t.equal(tested?.code, 0, tested?.said ?? '')
  }

  const directory = await temporaryDirectory(t)
  await writeFile(
    join(directory, 'alerts.yml'),
    read('deploy/prometheus/alerts.yml').replace('leader == 0', 'leader == 1'),
  )
  await writeFile(join(directory, 'alerts.test.yml'), read('deploy/prometheus/alerts.test.yml'))
  t.not(run('promtool', ['test', 'rules', join(directory, 'alerts.test.yml')])?.code, 0, 'it would complain')
})

t.test('the charts of the dashboard of a node draw metrics that it serves', async (t) => {
  const served = await servedNames(t)
  const drawn = metricsIn(read('src/ui/cluster/chart-history.ts'))
  t.ok(drawn.length > 15)
  for (const name of drawn) t.ok(served.has(name) || served.has(`${name}_bucket`), `${name} is served`)
})

t.test('alerts and dashboard speak of metrics that a node serves', async (t) => {
  const served = await servedNames(t)
  const dashboard = JSON.parse(read('deploy/grafana/quorate.json')) as {
    panels: readonly { readonly id: number; readonly targets?: readonly { readonly expr: string }[] }[]
    templating: { readonly list: readonly { readonly query: string | { readonly query: string } }[] }
  }
  const shown = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
  const queries = dashboard.templating.list.map(({ query }) => (typeof query === 'string' ? query : query.query))
  t.ok(shown.length > 30)
  t.equal(
    new Set(dashboard.panels.map(({ id }) => id)).size,
    dashboard.panels.length,
    'each panel has an id of its own',
  )
  for (const text of [...shown, ...queries, ...rules().map(({ expr }) => expr)]) {
    for (const name of metricsIn(text)) t.ok(served.has(name), `${name} is served`)
  }
  const left = [...served].filter((name) => name.startsWith('quorate_') && !/_(sum|count)$/.test(name))
  const used = new Set(shown.flatMap(metricsIn))
  // What is seen in other panels, as a difference or in words, and what alerts measure others by.
  const elsewhere = [
    'quorate_history_changes',
    'quorate_tls_certificate_lifetime_seconds',
    'quorate_watch_recent_bytes',
    'quorate_watchers_max',
  ]
  t.same(left.filter((name) => !used.has(name)).sort(), elsewhere, 'the dashboard shows everything else')

  const expressions = shown.map((expr) => expr.replaceAll('$__rate_interval', '1m'))
  const path = join(await temporaryDirectory(t), 'rules.yml')
  const rows = expressions.map((expr, at) => ({ record: `panel:${at}`, expr }))
  await writeFile(path, JSON.stringify({ groups: [{ name: 'panels', rules: rows }] }))
  const checked = run('promtool', ['check', 'rules', path])
  if (checked === null) return missing(t, 'promtool', 'it is not installed here')
  t.equal(checked.code, 0, checked.said)
})
