import type { Node } from '../../../src/node/node.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'

/** A page of versions has none between its first and its third. */
function missesVersion({ services: { history } }: Node): void {
  const versions = history.versions.bind(history)
  history.versions = async (...asked) => {
    const page = await versions(...asked)
    return { ...page, items: page.items.filter((_, at) => at !== 1) }
  }
}

/** A page of versions begins with the last one of the page before. */
function repeatsVersion({ services: { history } }: Node): void {
  const versions = history.versions.bind(history)
  history.versions = (key, page, options) =>
    versions(key, { ...page, before: page.before === null ? null : page.before + 1 }, options)
}

/** Versions are told as far back as there are rows, compacted or not. */
function tellsOfCompacted({ services: { history } }: Node): void {
  const versions = history.versions.bind(history)
  history.versions = async (...asked) => ({ ...(await versions(...asked)), compactedRevision: 0 })
}

/** A page of leases passes over the first that should be on it. */
function missesLease({ services: { leases } }: Node): void {
  const list = leases.list.bind(leases)
  leases.list = ({ after, limit }, options) => list({ after: after === null ? null : after + 1, limit }, options)
}

/** A page of leases says that it is the last. */
function endsAtOnce({ services: { leases } }: Node): void {
  const list = leases.list.bind(leases)
  leases.list = async (...asked) => ({ ...(await list(...asked)), more: false })
}

export const viewBugs: readonly PlantedBug[] = [
  {
    name: 'version-missing',
    says: 'a page of versions has all but the second',
    seedsMax: 100,
    needsImports: true,
    plant: missesVersion,
  },
  {
    name: 'version-repeated',
    says: 'a page of versions begins with the last one of the page before',
    seedsMax: 100,
    needsImports: true,
    plant: repeatsVersion,
  },
  {
    name: 'versions-claim-all',
    says: 'a page of versions says that nothing is compacted',
    seedsMax: 100,
    needsImports: true,
    plant: tellsOfCompacted,
  },
  {
    name: 'lease-missing',
    says: 'a page of leases passes over one that was granted right after the page before',
    seedsMax: 300,
    needsImports: true,
    plant: missesLease,
  },
  {
    name: 'leases-end-at-page',
    says: 'a page of leases says that it is the last',
    seedsMax: 100,
    needsImports: true,
    plant: endsAtOnce,
  },
]
