package allinone

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/settings"
)

// targets asks each target of MODELS_FILE for its models, with each of its keys.
func (d *doctor) targets(ctx context.Context) []Finding {
	if d.config.Prices.List() == nil {
		return d.skipAll(unusable("MODELS_FILE"))
	}
	var found []Finding
	all := d.config.Prices.List().Content().Targets()
	if len(all) == 0 {
		return d.skipAll("the price list has no targets")
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		found = append(found, d.target(ctx, all[name])...)
	}
	return found
}

func (d *doctor) target(ctx context.Context, t *models.Target) []Finding {
	title := "the target " + t.Name
	if len(t.Keys) == 0 {
		return d.targetKeys(ctx, t, "", nil)
	}
	var found []Finding
	for _, name := range t.Keys {
		keys, err := settings.ReadSecrets(d.env.Get, name, "")
		switch {
		case err != nil:
			found = append(found, failure(name, err.Error(), "correct the setting"))
		case !keys.IsSet():
			found = append(found, failure(name, fmt.Sprintf("is not set, and %s needs it", title), fmt.Sprintf("set %s or %s_FILE", name, name)))
		default:
			found = append(found, d.targetKeys(ctx, t, name, keys)...)
		}
	}
	return found
}

// targetKeys asks a target with each of the keys of a setting.
func (d *doctor) targetKeys(ctx context.Context, t *models.Target, setting string, keys settings.Secrets) []Finding {
	title := "the target " + t.Name
	return eachKey(keys, func(key settings.Secret, p position) ([]Finding, bool) {
		status, err := d.askTarget(ctx, title, t, key)
		found := judgeTarget(title, setting, p, status, err)
		return found, found == nil || ofKey(status, err)
	})
}

// askTarget lists the models of a target, which costs nothing.
func (d *doctor) askTarget(ctx context.Context, title string, t *models.Target, key settings.Secret) (int, error) {
	if t.Kind != models.TargetAzure {
		return d.ask(ctx, title, below(t.BaseURL, "/models", ""), key, nil)
	}
	at := below(t.BaseURL, "/openai/v1/models", "")
	if t.APIVersion != "" {
		at = below(t.BaseURL, "/openai/models", url.Values{"api-version": {t.APIVersion}}.Encode())
	}
	return d.askAs(ctx, title, at, http.Header{"Api-Key": {key.Reveal()}}, nil)
}

// judgeTarget is judge for servers of which some have no list of models: those that answer so can be reached.
func judgeTarget(title, setting string, key position, status int, err error) []Finding {
	if err == nil && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) {
		return nil
	}
	return judge(title, setting, "MODELS_FILE", key, status, err)
}
