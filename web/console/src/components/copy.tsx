import { Check, Copy as CopyIcon } from 'lucide-react';
import { useEffect, useState } from 'react';
import { Button } from './ui';

/** Copies a text. Without permission for the clipboard, the label says so, and the text can still be selected by hand. */
export function Copy({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [state, setState] = useState<'idle' | 'done' | 'failed'>('idle');
  useEffect(() => {
    if (state === 'idle') return;
    const timer = setTimeout(() => setState('idle'), 3000);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = () => navigator.clipboard.writeText(text).then(() => setState('done'), () => setState('failed'));
  return (
    <Button onClick={() => void copy()}>
      {state === 'done' ? <Check size={16} aria-hidden /> : <CopyIcon size={16} aria-hidden />}
      <span aria-live="polite">{state === 'done' ? 'Copied' : state === 'failed' ? 'Not allowed' : label}</span>
    </Button>
  );
}
