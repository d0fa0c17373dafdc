import { useState } from 'preact/hooks'
import type { RoleView, SelfAnswer, TokenView } from '../../client/api-types.ts'
import { bounds } from '../bounds.ts'
import { Shown } from '../data/shown.tsx'
import { useReading } from '../data/use-reading.ts'
import { count, plural } from '../lib/format.ts'
import { sentence } from '../lib/sentence.ts'
import { Button } from '../parts/button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { say } from '../parts/messages.tsx'
import { Notice } from '../parts/notice.tsx'
import { Badge, Card, Facts, Page } from '../parts/page.tsx'
import { Table } from '../parts/table.tsx'
import { readAccess, revokeToken, type AccessTable, type OwnAccess } from './access-api.ts'
import { effectsOfRevoking, endText, grantText, restText } from './wording.ts'

/** Which tokens there are, and what they may do. Secrets are shown to nobody: a node has their hashes alone, and gives none. */
export function AccessPage() {
  const read = useReading('access', readAccess, { everyMs: bounds.accessPollMs })
  return (
    <Page
      title="Access"
      lead="Roles say what may be done. A token has roles, and whoever shows it may do what they say."
    >
      <Shown read={read}>
        {(answer) => {
          if (answer.kind === 'open') return <NoTokens />
          if (answer.kind === 'own') return <Own {...answer} />
          return <Tables table={answer} onChanged={read.again} />
        }}
      </Shown>
    </Page>
  )
}

function NoTokens() {
  return (
    <Notice tone="warn" title="There are no tokens">
      <p>
        Whoever reaches a node may do everything. The first token is made on the machine of the leader, by{' '}
        <code>quorate auth bootstrap</code>.
      </p>
    </Notice>
  )
}

/** What the token of this page may do, where it may not see the others. */
function Own({ self, refusal, at }: OwnAccess) {
  const { token } = self
  return (
    <>
      <Notice tone="info" title="Other tokens are not shown" code={refusal.code}>
        <p>{sentence(refusal.detail)}</p>
      </Notice>
      <Card title="The token of this page">
        {token !== null && (
          <Facts
            facts={[
              ['Token', <span class="mono">{token.id}</span>],
              ['Holder', token.name],
              ['Roles', rolesText(token)],
              ['Ends', endText(token, at)],
              ['Also', restText(token) || 'nothing'],
            ]}
          />
        )}
        <h3>It allows</h3>
        <Allowed {...self} />
      </Card>
    </>
  )
}

function rolesText({ roles }: TokenView): string {
  return roles.length === 0 ? 'none' : roles.join(', ')
}

function Tables({ table, onChanged }: { readonly table: AccessTable; readonly onChanged: () => void }) {
  const [asked, ask] = useState<TokenView | null>(null)
  const { roles, tokens, revision, own, at } = table
  return (
    <>
      <Card title="Tokens">
        <TokenTable tokens={tokens} own={own} at={at} onRevoke={ask} />
        <p class="faint">
          The number of a token is the revision at which it was made. Roles and tokens last changed at revision{' '}
          {count(revision)}.
        </p>
      </Card>
      <Card title="Roles">
        <RoleTable roles={roles} tokens={tokens} />
      </Card>
      {asked !== null && <RevokeDialog token={asked} table={table} onDone={onChanged} onClose={() => ask(null)} />}
    </>
  )
}

interface TokenTableProps extends Pick<AccessTable, 'tokens' | 'own' | 'at'> {
  readonly onRevoke: (token: TokenView) => void
}

function TokenTable({ tokens, own, at, onRevoke }: TokenTableProps) {
  return (
    <Table
      caption="Tokens"
      columns={[
        { title: 'Token', cell: ({ id }) => <span class="mono">{id}</span> },
        {
          title: 'Holder',
          cell: ({ id, name }) => (
            <>
              {name} {id === own?.id && <Badge>this page</Badge>}
            </>
          ),
        },
        { title: 'Roles', cell: rolesText },
        { title: 'Ends', cell: (token) => endText(token, at) },
        { title: 'Also', cell: (token) => <span class="faint">{restText(token) || 'nothing'}</span> },
        {
          title: 'Action',
          cell: (token) => (
            <Button small label={`Revoke token ${token.id}`} onClick={() => onRevoke(token)}>
              Revoke
            </Button>
          ),
        },
      ]}
      rows={tokens}
      rowKey={({ id }) => id}
    />
  )
}

function RoleTable({ roles, tokens }: Pick<AccessTable, 'roles' | 'tokens'>) {
  return (
    <Table
      caption="Roles"
      columns={[
        { title: 'Role', cell: ({ name }) => name },
        { title: 'Allows', cell: (role) => <Allowed {...role} /> },
        {
          title: 'Held by',
          cell: ({ name }) => plural(tokens.filter((token) => token.roles.includes(name)).length, 'token'),
          numeric: true,
        },
      ]}
      rows={roles}
      rowKey={({ name }) => name}
      empty="There are no roles."
    />
  )
}

function Allowed({ grants, rights }: Pick<RoleView | SelfAnswer, 'grants' | 'rights'>) {
  const lines = [...grants.map(grantText), ...rights]
  if (lines.length === 0) return <span class="faint">nothing</span>
  return (
    <ul class="allowed">
      {lines.map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  )
}

interface RevokeDialogProps {
  readonly token: TokenView
  readonly table: AccessTable
  readonly onDone: () => void
  readonly onClose: () => void
}

function RevokeDialog({ token, table, onDone, onClose }: RevokeDialogProps) {
  const { id, name } = token
  const roles = table.roles.filter((role) => token.roles.includes(role.name))
  const others = table.tokens.filter((one) => one.name === name && one.id !== id).length
  const isThere = table.tokens.some((one) => one.id === id)
  return (
    <Confirm
      title={`Revoke token ${id} of ${name}?`}
      {...effectsOfRevoking(token, { roles, others, isOwn: table.own?.id === id })}
      word={String(id)}
      wordName="the number of the token"
      action="Revoke"
      danger
      overtaken={isThere ? null : 'The token is gone.'}
      onConfirm={async () => {
        await revokeToken(id)
        say(`Token ${id} of ${name} is revoked.`)
        onDone()
      }}
      onClose={onClose}
    />
  )
}
