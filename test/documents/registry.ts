/** The pages whose blocks are pasted, in order, into one shell for each page (`follow`), unless a block says what it needs. */
export const pasted = ['README.md', 'docs/CLUSTER.md', 'docs/HTTP.md', 'docs/METRICS.md', 'docs/OPERATIONS.md'] as const

/** Blocks of commands below a heading of a page. */
interface Place {
  readonly page: string
  readonly heading: string
  /** Which of the blocks marked `sh` below the heading, from 1 on. */
  readonly blocks: readonly number[]
}

/** Blocks that a test runs one by one. */
interface Run extends Place {
  readonly test: string
}

/** Blocks that no test runs. */
interface NotRun extends Place {
  /** Why not. */
  readonly reason: string
  /** The test that checks what can be checked in its place, and a part of its name. */
  readonly instead: readonly [test: string, name: string]
}

const OPERATIONS = 'docs/OPERATIONS.md'

export const runOneByOne: readonly Run[] = [
  { page: OPERATIONS, heading: 'Change the CA of peers', blocks: [1, 2, 3, 4], test: 'test/e2e/tls-changes.test.ts' },
  {
    page: OPERATIONS,
    heading: 'Turn TLS on for a cluster that runs without',
    blocks: [1],
    test: 'test/e2e/tls-changes.test.ts',
  },
  { page: OPERATIONS, heading: 'Prometheus and Grafana', blocks: [1], test: 'test/e2e/access.test.ts' },
  {
    page: OPERATIONS,
    heading: 'Backups of Kubernetes in and out',
    blocks: [1, 2],
    test: 'test/deploy-volumes.test.ts',
  },
  {
    page: OPERATIONS,
    heading: 'Recover on Kubernetes and in containers',
    blocks: [1, 2, 3],
    test: 'test/deploy-volumes.test.ts',
  },
  { page: OPERATIONS, heading: 'When the disks are nearly full', blocks: [1], test: 'test/e2e/disk-reserve.test.ts' },
  { page: OPERATIONS, heading: 'As a service', blocks: [1, 2], test: 'test/documents/services.test.ts' },
  { page: OPERATIONS, heading: 'Every night', blocks: [1, 2], test: 'test/documents/services.test.ts' },
  {
    page: OPERATIONS,
    heading: 'Restore under systemd or in containers',
    blocks: [1],
    test: 'test/documents/services.test.ts',
  },
  {
    page: OPERATIONS,
    heading: 'Restore under systemd or in containers',
    blocks: [2],
    test: 'test/documents/containers.test.ts',
  },
  { page: OPERATIONS, heading: 'In a container', blocks: [1], test: 'test/documents/containers.test.ts' },
  { page: OPERATIONS, heading: 'With Compose', blocks: [1], test: 'test/documents/containers.test.ts' },
  {
    page: OPERATIONS,
    heading: 'Recover on Kubernetes and in containers',
    blocks: [4, 5],
    test: 'test/documents/containers.test.ts',
  },
  { page: OPERATIONS, heading: 'On Kubernetes', blocks: [1, 2, 3, 4, 5], test: 'test/documents/kubernetes.test.ts' },
  {
    page: OPERATIONS,
    heading: 'Names in certificates on Kubernetes',
    blocks: [2],
    test: 'test/documents/kubernetes.test.ts',
  },
  { page: OPERATIONS, heading: 'Prometheus and Grafana', blocks: [2], test: 'test/documents/kubernetes.test.ts' },
  { page: OPERATIONS, heading: 'Every night', blocks: [3], test: 'test/documents/kubernetes.test.ts' },
  { page: OPERATIONS, heading: 'Restore on Kubernetes', blocks: [1, 2], test: 'test/deploy-volumes.test.ts' },
  { page: 'README.md', heading: 'Try it', blocks: [1], test: 'test/documents/machines.test.ts' },
  { page: OPERATIONS, heading: 'From source', blocks: [1], test: 'test/documents/machines.test.ts' },
  {
    page: OPERATIONS,
    heading: 'Let nodes form a cluster by themselves',
    blocks: [1],
    test: 'test/documents/machines.test.ts',
  },
  { page: OPERATIONS, heading: 'Tokens and roles', blocks: [3], test: 'test/documents/machines.test.ts' },
]

const MINUTES = 'it takes minutes to hours, and its figures count on a quiet machine alone'

export const notRun: readonly NotRun[] = [
  {
    page: OPERATIONS,
    heading: 'On a server',
    blocks: [1, 2],
    reason: 'it takes packages from a registry, and installs for all users of the machine',
    instead: ['test/e2e/package.test.ts', 'A global installation in a folder of its own, without registry'],
  },
  {
    page: 'docs/decisions/0005-how-history-is-laid-out.md',
    heading: 'Consequences',
    blocks: [1],
    reason: MINUTES,
    instead: ['test/e2e/benches.test.ts', 'every bench runs, with the smallest settings'],
  },
  {
    page: 'bench/README.md',
    heading: 'Benchmarks',
    blocks: [1],
    reason: MINUTES,
    instead: ['test/e2e/benches.test.ts', 'every bench runs, with the smallest settings'],
  },
  {
    page: 'bench/README.md',
    heading: 'How to repeat a figure',
    blocks: [1],
    reason: `${MINUTES}; it installs packages of the system`,
    instead: ['test/e2e/benches.test.ts', 'every bench runs, with the smallest settings'],
  },
]
