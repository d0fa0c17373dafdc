/** Where to find the raft addresses of the nodes that may form one cluster. */
export type DiscoverySource =
  | { readonly kind: 'static'; readonly addresses: readonly string[] }
  /** Every A and AAAA record of a name, with one port for all. */
  | { readonly kind: 'dns'; readonly name: string; readonly port: number }
  | { readonly kind: 'srv'; readonly name: string }
  /** One address on each line. */
  | { readonly kind: 'file'; readonly path: string }

export interface Discovered {
  /** `host:port`, each once, sorted. Empty with a problem: nothing was learnt, which does not mean that there are no nodes. */
  readonly addresses: readonly string[]
  /** What went wrong, for people; null when nothing did. */
  readonly problem: string | null
}

/** A way to learn where other nodes may be. An address that it gives may lead to no node, or to a node of another cluster. */
export interface Discovery {
  /** The addresses at present. Never rejects: a failed lookup is reported in the answer. */
  lookUp(): Promise<Discovered>
}
