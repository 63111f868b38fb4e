import { useState } from 'react';
import { useMedia } from '../lib/media';
import { decimals, step, usd } from '../lib/money';
import { formatDay } from '../lib/time';
import type { Stack } from '../lib/usage';

const COLORS = ['#0d9488', '#6366f1', '#d97706', '#db2777', '#64748b', '#0284c7', '#65a30d', '#9333ea'];
const HEIGHT = 240;
const BOTTOM = 24;
const TOP = 8;
const STEPS = 4n;

/** The cost of each day as a stack of groups, models by default. Lengths are computed from integers. */
export function Bars({ stacks, names, by = 'model', label = (name) => name }: { stacks: readonly Stack[]; names: readonly string[]; by?: string; label?: (name: string) => string }) {
  const [hover, setHover] = useState<number | null>(null);
  const narrow = useMedia('(max-width: 40rem)');
  const total = narrow ? 400 : 900; // text keeps its size on a phone
  const most = stacks.reduce((max, s) => (s.sum > max ? s.sum : max), 1n);
  const size = step(most, STEPS);
  const top = size * STEPS;
  const room = HEIGHT - BOTTOM - TOP;
  const labels = [0n, 1n, 2n, 3n, 4n].map((i) => usd(size * i, i === 0n ? 0 : decimals(size)));
  const left = 14 + 7 * Math.max(...labels.map((text) => text.length)); // room for the longest label
  const length = (amount: bigint) => (Number((amount * 100_000n) / top) / 100_000) * room;
  const width = (total - left) / stacks.length;
  const title = `Cost per day and ${by}, ${stacks[0]?.day ?? ''} to ${stacks.at(-1)?.day ?? ''}`;
  const shown = hover === null ? undefined : stacks[hover];
  return (
    <figure className="relative">
      <svg viewBox={`0 0 ${total} ${HEIGHT}`} className="w-full" role="img" aria-label={title}>
        {labels.map((text, i) => {
          const y = HEIGHT - BOTTOM - length(size * BigInt(i));
          return (
            <g key={text}>
              <line x1={left} x2={total} y1={y} y2={y} className="stroke-line" />
              <text x={left - 8} y={y + 4} textAnchor="end" className="fill-mute text-[11px] tabular-nums">{text}</text>
            </g>
          );
        })}
        {stacks.map((stack, i) => (
          <g key={stack.day} onPointerEnter={() => setHover(i)} onPointerLeave={() => setHover(null)} opacity={hover === null || hover === i ? 1 : 0.5}>
            <rect x={left + i * width} y={TOP} width={width} height={room} fill="transparent" />
            <Column stack={stack} x={left + i * width + width * 0.14} width={width * 0.72} length={length} />
            {i % Math.ceil(stacks.length / (narrow ? 4 : 7)) === 0 && (
              <text x={left + i * width + width / 2} y={HEIGHT - 6} textAnchor="middle" className="fill-mute text-[11px]">{formatDay(stack.day)}</text>
            )}
          </g>
        ))}
      </svg>
      {shown && (
        <div className="pointer-events-none absolute top-1 right-1 rounded-lg border border-line bg-surface p-2 text-xs shadow-lg">
          <p className="font-medium">{formatDay(shown.day)}: {usd(shown.sum)}</p>
          {shown.parts.filter((p) => p.cost > 0n).map((p) => <p key={p.name} className="text-mute">{label(p.name)}: {usd(p.cost)}</p>)}
        </div>
      )}
      <figcaption className="mt-2 flex flex-wrap gap-x-4 gap-y-1 text-xs text-mute">
        {names.map((name, i) => (
          <span key={name} className="inline-flex items-center gap-1.5">
            <svg width="10" height="10" aria-hidden><rect width="10" height="10" rx="2" fill={COLORS[i % COLORS.length]} /></svg>
            {label(name)}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

function Column({ stack, x, width, length }: { stack: Stack; x: number; width: number; length: (amount: bigint) => number }) {
  let below = 0n;
  return stack.parts.map((part, i) => {
    below += part.cost;
    return part.cost > 0n && <rect key={part.name} x={x} width={width} y={HEIGHT - BOTTOM - length(below)} height={length(part.cost)} rx={1} fill={COLORS[i % COLORS.length]} />;
  });
}
