import { assert } from '../../lib/assert.ts'

/** `start` inclusive, `end` exclusive; null is unbounded. */
export interface Interval {
  readonly start: string
  readonly end: string | null
}

interface Node<T> extends Interval {
  readonly members: Set<T>
  left: Node<T> | null
  right: Node<T> | null
  height: number
  /** The greatest end in this subtree. */
  reach: string | null
}

/**
 * Intervals of strings with the members of each: a balanced tree (AVL) in the order of starts and ends, in which every node knows how far
 * the intervals below it reach. Finding those that contain a point costs about as much as there are, times the height of the tree.
 */
export class IntervalTree<T> {
  private root: Node<T> | null = null

  add(interval: Interval, member: T): void {
    this.root = added(this.root, interval, member)
  }

  /** `member` is in `interval`. */
  remove(interval: Interval, member: T): void {
    this.root = removed(this.root, interval, member)
  }

  /** Calls `visit` with each member of each interval that contains `point`. */
  visit(point: string, visit: (member: T) => void): void {
    visitIn(this.root, point, visit)
  }
}

function visitIn<T>(node: Node<T> | null, point: string, visit: (member: T) => void): void {
  if (node === null || !isBelow(point, node.reach)) return
  visitIn(node.left, point, visit)
  // Everything to the right begins at this start or later.
  if (point < node.start) return
  if (isBelow(point, node.end)) for (const member of node.members) visit(member)
  visitIn(node.right, point, visit)
}

function isBelow(point: string, end: string | null): boolean {
  return end === null || point < end
}

function compare(one: Interval, other: Interval): number {
  if (one.start !== other.start) return one.start < other.start ? -1 : 1
  if (one.end === other.end) return 0
  return other.end === null || (one.end !== null && one.end < other.end) ? -1 : 1
}

function added<T>(node: Node<T> | null, interval: Interval, member: T): Node<T> {
  if (node === null) {
    const { start, end } = interval
    return { start, end, members: new Set([member]), left: null, right: null, height: 1, reach: end }
  }
  const order = compare(interval, node)
  if (order === 0) {
    node.members.add(member)
    return node
  }
  if (order < 0) node.left = added(node.left, interval, member)
  else node.right = added(node.right, interval, member)
  return balanced(node)
}

function removed<T>(node: Node<T> | null, interval: Interval, member: T): Node<T> | null {
  assert(node !== null, 'only what is in the tree is removed from it')
  const order = compare(interval, node)
  if (order < 0) node.left = removed(node.left, interval, member)
  else if (order > 0) node.right = removed(node.right, interval, member)
  else {
    node.members.delete(member)
    if (node.members.size === 0) return withoutTop(node)
  }
  return balanced(node)
}

/** The subtree without its top node. */
function withoutTop<T>({ left, right }: Node<T>): Node<T> | null {
  if (left === null || right === null) return left ?? right
  let first = right
  while (first.left !== null) first = first.left
  const rest = withoutFirst(right)
  first.left = left
  first.right = rest
  return balanced(first)
}

function withoutFirst<T>(node: Node<T>): Node<T> | null {
  if (node.left === null) return node.right
  node.left = withoutFirst(node.left)
  return balanced(node)
}

function heightOf<T>(node: Node<T> | null): number {
  return node === null ? 0 : node.height
}

/** Makes the subtree balanced again after one change below it, and notes what it holds; returns its top. */
function balanced<T>(node: Node<T>): Node<T> {
  const { left, right } = node
  const lean = heightOf(left) - heightOf(right)
  if (left !== null && lean > 1) {
    if (heightOf(left.left) < heightOf(left.right)) node.left = turnedLeft(left)
    return turnedRight(node)
  }
  if (right !== null && lean < -1) {
    if (heightOf(right.right) < heightOf(right.left)) node.right = turnedRight(right)
    return turnedLeft(node)
  }
  note(node)
  return node
}

function turnedRight<T>(node: Node<T>): Node<T> {
  const top = node.left
  assert(top !== null, 'a tree turns towards its lower side')
  node.left = top.right
  top.right = node
  note(node)
  note(top)
  return top
}

function turnedLeft<T>(node: Node<T>): Node<T> {
  const top = node.right
  assert(top !== null, 'a tree turns towards its lower side')
  node.right = top.left
  top.left = node
  note(node)
  note(top)
  return top
}

function note<T>(node: Node<T>): void {
  const { left, right } = node
  node.height = 1 + Math.max(heightOf(left), heightOf(right))
  let reach = node.end
  if (left !== null) reach = further(reach, left.reach)
  if (right !== null) reach = further(reach, right.reach)
  node.reach = reach
}

function further(one: string | null, other: string | null): string | null {
  if (one === null || other === null) return null
  return one < other ? other : one
}
