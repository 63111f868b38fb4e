import { X } from 'lucide-react';
import { useEffect, useId, useRef, type ReactNode } from 'react';

/**
 * A modal dialog: the browser's own keeps the focus inside, closes on Escape and gives the focus back. It is open as long as
 * it is rendered.
 */
export function Dialog({ title, onClose, children, side = false }: { title: string; onClose: () => void; children: ReactNode; side?: boolean }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    dialog?.querySelector<HTMLElement>('[data-autofocus]')?.focus(); // React keeps autofocus from the browser
    return () => dialog?.close();
  }, []);
  const place = side ? 'm-0 mr-auto h-dvh max-h-none w-72 rounded-r-xl' : 'm-auto w-[min(34rem,calc(100vw-2rem))] max-h-[calc(100dvh-2rem)] rounded-xl';
  return (
    <dialog
      ref={ref}
      aria-labelledby={id}
      onClose={onClose}
      onClick={(e) => e.target === ref.current && ref.current?.close()}
      className={`overflow-y-auto border border-line bg-surface p-0 text-ink shadow-xl ${place}`}
    >
      <div className="p-5">
        <div className="mb-4 flex items-start justify-between gap-4">
          <h2 id={id} className="text-lg font-semibold">{title}</h2>
          <button type="button" aria-label="Close" onClick={() => ref.current?.close()} className="rounded-md p-1 text-mute hover:bg-raised"><X size={18} aria-hidden /></button>
        </div>
        {children}
      </div>
    </dialog>
  );
}
