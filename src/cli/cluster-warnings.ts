import type { ClusterViews } from './cluster-views.ts'

/** A warning of the nodes of a cluster. */
export interface ClusterWarning {
  readonly code: string
  readonly detail: string
  /** Ids of the nodes that say it, in ascending order. */
  readonly nodes: readonly number[]
}

/**
 * What the nodes that answered warn of, each text once, that of the view that knows most first. A certificate or a disk is known to its own node
 * alone, so no single view has all of them.
 */
export function clusterWarnings({ newest, views }: Pick<ClusterViews, 'newest' | 'views'>): readonly ClusterWarning[] {
  const found = new Map<string, { readonly code: string; readonly detail: string; readonly nodes: Set<number> }>()
  for (const { node, warnings } of [newest, ...views.map(({ view }) => view)]) {
    for (const { code, detail } of warnings) {
      const name = `${code} ${detail}`
      const warning = found.get(name) ?? { code, detail, nodes: new Set() }
      found.set(name, warning)
      warning.nodes.add(node.id)
    }
  }
  return [...found.values()].map((warning) => ({ ...warning, nodes: [...warning.nodes].toSorted((a, b) => a - b) }))
}

/** The same, a line each. It says who warns, unless every node that was asked does. */
export function describeWarnings(seen: ClusterViews): readonly string[] {
  const asked = seen.views.length + seen.silent.length
  return clusterWarnings(seen).map(({ code, detail, nodes }) => {
    const [says, who] = nodes.length === 1 ? ['says', 'node'] : ['say', 'nodes']
    return `${detail} (${code}${nodes.length === asked ? '' : `, ${says} ${who} ${nodes.join(', ')}`})`
  })
}
