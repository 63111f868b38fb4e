package allinone

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/trivet-dev/trivet/platform/hook"
	"github.com/trivet-dev/trivet/platform/settings"
)

// receivers are the addresses of receivers of webhooks, by setting. Those that are not set are unset secrets.
func (d *doctor) receivers() map[string]settings.Secret {
	return map[string]settings.Secret{
		"TRIVET_ALERT_URL": d.config.Host.AlertURL, "TRIVET_ALERT_WEBHOOK_URL": d.config.Host.AlertWebhookURL, "BILLING_EVENTS_URL": d.config.Billing.EventsURL,
	}
}

// reachReceivers connects to the receivers of webhooks. It sends no request, because a receiver takes each one for a webhook.
func (d *doctor) reachReceivers(ctx context.Context) []Finding {
	var found []Finding
	all := d.receivers()
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return !all[name].IsSet() })
	if len(names) == 0 {
		return d.skipAll("no receiver is set")
	}
	for _, name := range names {
		address := all[name]
		if name != "BILLING_EVENTS_URL" && proxied(address) {
			d.skip(name, "a proxy connects to it")
			continue
		}
		private := name != "BILLING_EVENTS_URL" || d.config.Billing.EventsPrivate || !d.production()
		if err := hook.Reach(ctx, address.Reveal(), private); err != nil {
			found = append(found, warning(name, "the receiver cannot be used: "+err.Error(), "check the address, the receiver, and the firewall of this machine"))
		}
	}
	if d.config.Host.AlertInterval == 0 {
		for _, name := range []string{"TRIVET_ALERT_URL", "TRIVET_ALERT_WEBHOOK_URL"} {
			if all[name].IsSet() {
				found = append(found, warning(name, "gets nothing, because TRIVET_ALERT_INTERVAL is 0s", "set TRIVET_ALERT_INTERVAL, or remove "+name))
			}
		}
	}
	return found
}

// proxied reports whether requests to an address take a proxy.
func proxied(address settings.Secret) bool {
	at, err := url.Parse(address.Reveal())
	if err != nil {
		return false
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: at})
	return err == nil && proxy != nil
}
