import { TrivetError } from '@trivet/client';
import { CircleAlert, Inbox } from 'lucide-react';
import type { ButtonHTMLAttributes, ReactNode } from 'react';
import { usd } from '../lib/money';

const KINDS = {
  primary: 'bg-ink text-page hover:opacity-90',
  plain: 'border border-line bg-surface hover:bg-raised',
  danger: 'border border-bad text-bad bg-surface hover:bg-raised',
};

export function Button({ kind = 'plain', className = '', ...rest }: { kind?: keyof typeof KINDS } & ButtonHTMLAttributes<HTMLButtonElement>) {
  return (
    <button
      type="button"
      className={`inline-flex items-center justify-center gap-1.5 rounded-lg px-3 py-1.5 text-sm font-medium disabled:cursor-not-allowed disabled:opacity-50 ${KINDS[kind]} ${className}`}
      {...rest}
    />
  );
}

export function Card({ title, action, children }: { title?: string; action?: ReactNode; children: ReactNode }) {
  return (
    <section className="min-w-0 rounded-xl border border-line bg-surface p-4 sm:p-5">
      {(title || action) && (
        <div className="mb-3 flex flex-wrap items-center justify-between gap-2">
          {title && <h2 className="text-sm font-medium text-mute">{title}</h2>}
          {action}
        </div>
      )}
      {children}
    </section>
  );
}

/** A figure with its name and a note: a text, or an amount of nano-dollars, whose title is exact. */
export function Figure({ title, value, nano, note, children }: { title: string; value?: string | undefined; nano?: string | undefined; note?: string | undefined; children?: ReactNode }) {
  const text = nano === undefined ? value : usd(nano);
  return (
    <Card title={title}>
      {text === undefined ? <Skeleton className="h-9 w-28" /> : <p data-nano={nano} title={nano === undefined ? undefined : usd(nano, 9)} className="text-3xl font-semibold tracking-tight tabular-nums">{text}</p>}
      {children}
      {note && <p className="mt-1.5 text-xs text-mute">{note}</p>}
    </Card>
  );
}

export const Skeleton = ({ className }: { className: string }) => <span aria-hidden className={`block animate-pulse rounded-md bg-raised ${className}`} />;

export function Loading({ label, rows = 4 }: { label: string; rows?: number }) {
  return (
    <div role="status" className="space-y-3 py-2">
      <span className="sr-only">{label}</span>
      {Array.from({ length: rows }, (_, i) => (
        <Skeleton key={i} className={`h-5 ${i % 2 ? 'w-3/4' : 'w-full'}`} />
      ))}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="flex flex-col items-center gap-2 px-4 py-10 text-center">
      <Inbox size={28} aria-hidden className="text-mute" />
      <p className="font-medium">{title}</p>
      {children && <div className="max-w-md text-sm text-mute">{children}</div>}
    </div>
  );
}

/** What went wrong, in the server's words, with the id that support asks for. */
export function Failure({ error, retry }: { error: unknown; retry?: (() => void) | undefined }) {
  const known = error instanceof TrivetError ? error : undefined;
  return (
    <div role="alert" className="flex flex-wrap items-start gap-3 rounded-lg border border-bad p-3 text-sm">
      <CircleAlert size={18} aria-hidden className="mt-0.5 shrink-0 text-bad" />
      <div className="min-w-0 flex-1">
        <p className="break-words">{error instanceof Error ? error.message : String(error)}</p>
        {known?.details.map((d, i) => d.field && <p key={i} className="text-mute">{`${d.field} ${d.problem ?? ''}`}</p>)}
        {known?.requestId && <p className="mt-1 text-xs break-all text-mute">Request {known.requestId}</p>}
      </div>
      {retry && <Button onClick={retry}>Try again</Button>}
    </div>
  );
}

const TONES = { ok: 'text-ok', warn: 'text-warn', bad: 'text-bad', mute: 'text-mute' };
export type Tone = keyof typeof TONES;

export function Badge({ tone, children }: { tone: Tone; children: ReactNode }) {
  return (
    <span className={`inline-flex items-center gap-1.5 text-sm font-medium whitespace-nowrap ${TONES[tone]}`}>
      <svg width="8" height="8" aria-hidden><circle cx="4" cy="4" r="4" fill="currentColor" /></svg>
      {children}
    </span>
  );
}

/** A table that scrolls by itself when it is wider than the page. */
export function Table({ caption, head, children }: { caption: string; head: ReactNode; children: ReactNode }) {
  return (
    <div className="relative -mx-4 overflow-x-auto px-4 sm:-mx-5 sm:px-5" role="region" aria-label={caption} tabIndex={0}>
      <table className="w-full border-collapse text-sm">
        <caption className="sr-only">{caption}</caption>
        <thead><tr className="border-b border-line text-left text-xs text-mute">{head}</tr></thead>
        <tbody className="divide-y divide-line">{children}</tbody>
      </table>
    </div>
  );
}

export const Th = ({ right, children }: { right?: boolean; children?: ReactNode }) => (
  <th scope="col" className={`py-2 pr-4 font-medium whitespace-nowrap last:pr-0 ${right ? 'text-right' : ''}`}>{children}</th>
);
export const Td = ({ right, wrap, children }: { right?: boolean; wrap?: boolean; children?: ReactNode }) => (
  <td className={`py-2 pr-4 align-top last:pr-0 ${right ? 'text-right tabular-nums' : ''} ${wrap ? 'min-w-40' : 'whitespace-nowrap'}`}>{children}</td>
);

export const fieldClass = 'min-w-0 rounded-lg border border-field bg-surface px-2 py-1.5 text-sm max-sm:flex-1';
export const inputClass = 'w-full rounded-lg border border-field bg-surface px-3 py-1.5 text-sm';

export function Field({ label, hint, children }: { label: string; hint?: string; children: ReactNode }) {
  return (
    <label className="block text-sm">
      <span className="font-medium">{label}</span>
      {hint && <span className="block text-xs text-mute">{hint}</span>}
      <span className="mt-1 block">{children}</span>
    </label>
  );
}

/** A field of a row of filters. On a phone, each has a line of its own, and the fields begin below each other, unless it is compact. */
export const Labeled = ({ label, compact = false, children }: { label: string; compact?: boolean | undefined; children: ReactNode }) => (
  <label className={`flex min-w-0 items-center gap-2 text-sm ${compact ? '' : 'max-sm:w-full'}`}><span className={`text-mute ${compact ? '' : 'max-sm:w-20'}`}>{label}</span>{children}</label>
);

export function Select<T extends string>({ label, value, options, onChange, compact }: { label: string; value: T; options: readonly (readonly [T, string])[]; onChange: (value: T) => void; compact?: boolean }) {
  return (
    <Labeled label={label} compact={compact}>
      <select value={value} onChange={(e) => onChange(e.target.value as T)} className={fieldClass}>
        {options.map(([v, text]) => <option key={v} value={v}>{text}</option>)}
      </select>
    </Labeled>
  );
}
