import { OrganizationSwitcher, UserButton } from '@clerk/react';
import { Menu } from 'lucide-react';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { Link, useLocation } from 'wouter';
import { Dialog } from '../components/dialog';
import { Failure } from '../components/ui';
import { useMe } from './api';
import { base } from './config';
import type { Page } from './pages';

export function Layout({ pages, children }: { pages: readonly Page[]; children: ReactNode }) {
  const [at] = useLocation();
  const [open, setOpen] = useState(false);
  const title = pages.find((page) => page.path === at)?.name ?? 'Trivet';
  const heading = useRef<HTMLHeadingElement>(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${title} · Trivet`;
    setOpen(false);
    if (first.current) first.current = false;
    else heading.current?.focus(); // a screen reader hears the new page
  }, [title, at]);
  return (
    <div className="min-h-dvh md:grid md:grid-cols-[14rem_minmax(0,1fr)]">
      <a href="#page" className="sr-only focus:not-sr-only focus:absolute focus:top-2 focus:left-2 focus:z-10 focus:bg-surface focus:p-2">Skip to the page</a>
      <aside className="hidden border-r border-line bg-surface p-4 md:block">
        <Brand />
        <Navigation pages={pages} at={at} />
      </aside>
      <div className="min-w-0">
        <header className="flex items-center justify-between gap-2 border-b border-line bg-surface px-3 py-2 sm:px-6">
          <div className="flex min-w-0 items-center gap-2">
            <button type="button" aria-label="Menu" className="rounded-lg p-2 hover:bg-raised md:hidden" onClick={() => setOpen(true)}><Menu size={20} aria-hidden /></button>
            <OrganizationSwitcher afterCreateOrganizationUrl={`${base}/`} afterSelectOrganizationUrl={`${base}/`} afterSelectPersonalUrl={`${base}/`} afterLeaveOrganizationUrl={`${base}/`} />
          </div>
          <UserButton />
        </header>
        <main id="page" className="mx-auto max-w-6xl p-4 sm:p-6">
          <h1 ref={heading} tabIndex={-1} className="mb-5 text-xl font-semibold tracking-tight outline-none">{title}</h1>
          <Who>{children}</Who>
        </main>
      </div>
      {open && (
        <Dialog title="Trivet" side onClose={() => setOpen(false)}>
          <Navigation pages={pages} at={at} />
        </Dialog>
      )}
    </div>
  );
}

/** Nothing of the pages works for a person whom the server does not accept. */
function Who({ children }: { children: ReactNode }) {
  const me = useMe();
  return me.isError ? <Failure error={me.error} retry={() => void me.refetch()} /> : children;
}

function Brand() {
  return (
    <p className="mb-5 flex items-center gap-2 px-2.5 font-semibold tracking-tight">
      <svg width="22" height="22" viewBox="0 0 24 24" fill="none" className="stroke-brand" strokeWidth="2.4" strokeLinecap="round" aria-hidden><path d="M4 6h16M7 6 5 20M17 6l2 14M12 6v14" /></svg>
      Trivet
    </p>
  );
}

function Navigation({ pages, at }: { pages: readonly Page[]; at: string }) {
  return (
    <nav aria-label="Main" className="grid gap-0.5">
      {pages.map(({ path, name, icon: Icon }) => (
        <Link
          key={path}
          href={path}
          aria-current={at === path ? 'page' : undefined}
          className="flex items-center gap-2.5 rounded-lg px-2.5 py-2 text-sm hover:bg-raised aria-[current=page]:bg-raised aria-[current=page]:font-medium"
        >
          <Icon size={16} aria-hidden />
          {name}
        </Link>
      ))}
    </nav>
  );
}
