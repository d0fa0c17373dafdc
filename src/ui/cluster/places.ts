export interface Place {
  readonly x: number
  readonly y: number
}

export interface Places {
  readonly height: number
  /** In the order of the members that were given. */
  readonly members: readonly Place[]
}

const TOP = 44
const LEADER_GAP = 156
const ROW_GAP = 132
const FOOT = 78
const MEMBER_WIDTH = 148

/** Where the members stand in a drawing of this width: the leader above, the others in rows below it. */
export function placesFor(width: number, count: number, leaderAt: number): Places {
  const others = leaderAt < 0 ? count : count - 1
  const columns = Math.max(1, Math.min(others, Math.floor(width / MEMBER_WIDTH)))
  const firstRow = leaderAt < 0 ? TOP : TOP + LEADER_GAP
  const rows = Math.max(1, Math.ceil(others / columns))
  const members = Array.from({ length: count }, (_, at): Place => {
    if (at === leaderAt) return { x: width / 2, y: TOP }
    const number = leaderAt >= 0 && at > leaderAt ? at - 1 : at
    const row = Math.floor(number / columns)
    const inRow = row === rows - 1 ? others - row * columns : columns
    // A few members stand near the leader rather than at the edges.
    const step = Math.min(width / inRow, 2 * MEMBER_WIDTH)
    const x = width / 2 + (number - row * columns - (inRow - 1) / 2) * step
    return { x, y: firstRow + row * ROW_GAP }
  })
  const height = (others === 0 ? TOP : firstRow + (rows - 1) * ROW_GAP) + FOOT
  return { height, members }
}
