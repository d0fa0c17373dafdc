import { useEffect, useState } from 'preact/hooks'
import { cluster } from '../api/cluster.ts'
import { metrics } from '../api/metrics.ts'
import { asksForToken } from '../api/problem.ts'
import { Store, useStore } from '../lib/store.ts'
import { theme } from '../lib/theme.ts'
import { FailureNotice } from '../parts/notice.tsx'
import { Page } from '../parts/page.tsx'
import { Toggle } from '../parts/toggle.tsx'
import { Chart } from './chart.tsx'
import { chartHistory, chartReadings } from './chart-feed.ts'
import { charts } from './chart-history.ts'

type Minutes = '1' | '5' | '15'

const systemIsDark = matchMedia('(prefers-color-scheme: dark)')
const isDark = new Store(systemIsDark.matches)
systemIsDark.addEventListener('change', () => isDark.set(systemIsDark.matches))

/** How the node of this page is doing, from its metrics. */
export function Charts() {
  const readings = useStore(chartReadings)
  const { failure } = useStore(metrics.seen)
  const { value } = useStore(cluster.seen)
  const chosen = useStore(theme)
  const colours = `${chosen} ${useStore(isDark)}`
  const [minutes, setMinutes] = useState<Minutes>('5')
  useEffect(() => metrics.soon(), [])
  const of = value === null ? 'this node' : `node ${value.node.id}`
  return (
    <Page
      title="Charts"
      lead={`The metrics of ${of} alone, once a second, since this page was opened`}
      tools={
        <Toggle
          label="How far back"
          value={minutes}
          onChange={setMinutes}
          choices={[
            { value: '1', text: '1 min' },
            { value: '5', text: '5 min' },
            { value: '15', text: '15 min' },
          ]}
        />
      }
    >
      {failure !== null && !asksForToken(failure) && <FailureNotice failure={failure} />}
      <div class="columns charts">
        {charts.map((entry) => (
          <Chart
            key={entry.name}
            entry={entry}
            history={chartHistory}
            readings={readings}
            theme={colours}
            spanMs={Number(minutes) * 60_000}
          />
        ))}
      </div>
    </Page>
  )
}
