import { CreateOrganization, OrganizationProfile, useAuth } from '@clerk/react';
import { base } from '../app/config';
import { Card, Empty } from '../components/ui';

export default function Members() {
  const { orgId } = useAuth();
  if (orgId) return <div className="overflow-x-auto"><OrganizationProfile routing="hash" /></div>;
  return (
    <div className="grid gap-4 sm:gap-5">
      <Card><Empty title="This is your personal account"><p>It has no members. An organization shares one account, its balance and its keys among people.</p></Empty></Card>
      <div className="flex justify-center"><CreateOrganization routing="hash" afterCreateOrganizationUrl={`${base}/members`} skipInvitationScreen /></div>
    </div>
  );
}
