// Package kubernetes_test checks deploy/kubernetes without a cluster.
package kubernetes_test

import (
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	return read[*appsv1.Deployment](t, base+"/deployment.yaml")
}

// pods are the pod templates of the server and of the migrations.
func pods(t *testing.T) map[string]corev1.PodTemplateSpec {
	t.Helper()
	return map[string]corev1.PodTemplateSpec{
		"server":    deployment(t).Spec.Template,
		"migration": read[*batchv1.Job](t, base+"/migrate.yaml").Spec.Template,
	}
}

// literals are the settings of a folder's config map.
func literals(t *testing.T, folder string) map[string]string {
	t.Helper()
	maps := read[*kustomization](t, folder+"/kustomization.yaml").ConfigMapGenerator
	require.Len(t, maps, 1)
	require.Equal(t, "trivet", maps[0].Name)
	found := map[string]string{}
	for _, line := range maps[0].Literals {
		name, value, ok := strings.Cut(line, "=")
		require.True(t, ok, line)
		require.NotContains(t, found, name)
		found[name] = value
	}
	return found
}

// settings are the settings of Trivet by name, with their types. A test of docs/settings.md compares it with the code.
func settings(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(root + "/docs/settings.md")
	require.NoError(t, err)
	types := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| ([a-z ]+) \\|").FindAllStringSubmatch(string(raw), -1) {
		types[row[1]] = row[2]
	}
	require.Greater(t, len(types), 50)
	return types
}

func isSecret(kind string) bool { return strings.HasPrefix(kind, "secret") }

// A name that Trivet does not read would be a silent default.
func TestSettingsExist(t *testing.T) {
	known := settings(t)
	plain := literals(t, base)
	for name := range literals(t, example) {
		require.NotContains(t, plain, name, "the example replaces what the base sets on purpose")
		require.Contains(t, known, name)
		require.False(t, isSecret(known[name]), "%s belongs into a file", name)
	}
	for name, value := range plain {
		require.Contains(t, known, name)
		require.False(t, isSecret(known[name]), "%s belongs into a file", name)
		switch known[name] {
		case "duration":
			_, err := time.ParseDuration(value)
			require.NoError(t, err, name)
		case "number":
			_, err := strconv.Atoi(value)
			require.NoError(t, err, name)
		}
	}
	require.Equal(t, "production", plain["TRIVET_ENV"])
	for component, pod := range pods(t) {
		for _, variable := range pod.Spec.Containers[0].Env {
			setting, file := strings.CutSuffix(variable.Name, "_FILE")
			if variable.Name == "GOMEMLIMIT" || variable.Name == "TRIVET_ENV" {
				continue
			}
			require.Contains(t, known, setting, component)
			require.True(t, file && isSecret(known[setting]), "%s: %s: only secrets stand here, as files", component, variable.Name)
			require.NotContains(t, plain, setting, "%s is set twice", setting)
		}
	}
}

// secretFiles are the files that a pod names, by setting.
func secretFiles(pod corev1.PodTemplateSpec) map[string]string {
	files := map[string]string{}
	for _, variable := range pod.Spec.Containers[0].Env {
		if setting, ok := strings.CutSuffix(variable.Name, "_FILE"); ok {
			files[setting] = variable.Value
		}
	}
	return files
}

// Each secret is a file of the one volume, in a form that changes while the pod runs.
func TestSecretsAreFiles(t *testing.T) {
	for component, pod := range pods(t) {
		mounts := pod.Spec.Containers[0].VolumeMounts
		require.Len(t, mounts, 1, component)
		require.Empty(t, mounts[0].SubPath, "%s: a mounted subPath never changes", component)
		require.True(t, mounts[0].ReadOnly, component)
		require.Len(t, pod.Spec.Volumes, 1, component)
		volume := pod.Spec.Volumes[0]
		require.Equal(t, mounts[0].Name, volume.Name)
		require.Equal(t, "trivet", volume.Secret.SecretName, component)
		require.Equal(t, int32(0o440), *volume.Secret.DefaultMode, component)
		files := secretFiles(pod)
		for setting, path := range files {
			require.Equal(t, mounts[0].MountPath+"/"+setting, path, component)
		}
		for _, item := range volume.Secret.Items {
			require.Equal(t, item.Key, item.Path, component)
			require.Contains(t, files, item.Key, component)
		}
	}
	both := pods(t)
	require.Equal(t, []string{"DATABASE_URL"}, keys(secretFiles(both["migration"])), "the migrations get no other secret")
	require.Len(t, both["migration"].Spec.Volumes[0].Secret.Items, 1)
	require.Empty(t, both["server"].Spec.Volumes[0].Secret.Items)
	require.Equal(t, []string{
		"CLERK_SECRET_KEY", "CLERK_WEBHOOK_SECRET", "DATABASE_URL", "OPENAI_API_KEY", "REDIS_URL", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET",
		"TRIVET_API_KEY_SECRET",
	}, keys(secretFiles(both["server"])))
	docs, err := os.ReadFile(root + "/docs/operations.md")
	require.NoError(t, err)
	for setting := range secretFiles(both["server"]) {
		require.True(t, strings.Contains(string(docs), "secrets/"+setting), "the section Kubernetes of docs/operations.md lists %s", setting) //nolint:testifylint // Contains would print the page
	}
}

func keys(m map[string]string) []string {
	var all []string
	for name := range m {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// The program needs no privilege, no writable file and no Kubernetes API.
func TestPodsHaveNoRights(t *testing.T) {
	dockerfile, err := os.ReadFile(root + "/Dockerfile")
	require.NoError(t, err)
	for component, pod := range pods(t) {
		spec := pod.Spec
		require.False(t, *spec.AutomountServiceAccountToken, component)
		require.False(t, *spec.EnableServiceLinks, "%s: variables of services look like settings", component)
		require.False(t, spec.HostNetwork || spec.HostPID || spec.HostIPC, component)
		require.True(t, *spec.SecurityContext.RunAsNonRoot, component)
		require.Contains(t, string(dockerfile), "\nUSER "+strconv.FormatInt(*spec.SecurityContext.RunAsUser, 10)+":"+strconv.FormatInt(*spec.SecurityContext.RunAsGroup, 10)+"\n")
		require.Equal(t, *spec.SecurityContext.RunAsGroup, *spec.SecurityContext.FSGroup, "%s: the group may read the secrets", component)
		require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, spec.SecurityContext.SeccompProfile.Type, component)
		require.Empty(t, spec.InitContainers, component)
		require.Len(t, spec.Containers, 1, component)
		container := spec.Containers[0]
		require.True(t, *container.SecurityContext.ReadOnlyRootFilesystem, component)
		require.False(t, *container.SecurityContext.AllowPrivilegeEscalation, component)
		require.Nil(t, container.SecurityContext.Privileged, component)
		require.Equal(t, []corev1.Capability{"ALL"}, container.SecurityContext.Capabilities.Drop, component)
		require.Empty(t, container.SecurityContext.Capabilities.Add, component)
		require.False(t, container.Resources.Requests.Cpu().IsZero(), component)
		require.False(t, container.Resources.Requests.Memory().IsZero(), component)
		require.Positive(t, container.Resources.Limits.Memory().Cmp(*container.Resources.Requests.Memory()), component)
		require.Contains(t, string(dockerfile), "/out"+container.Command[0], component)
	}
	account := read[*corev1.ServiceAccount](t, base+"/serviceaccount.yaml")
	require.False(t, *account.AutomountServiceAccountToken)
	require.Equal(t, account.Name, deployment(t).Spec.Template.Spec.ServiceAccountName)
	require.Equal(t, "restricted", read[*corev1.Namespace](t, example+"/namespace.yaml").Labels["pod-security.kubernetes.io/enforce"])
}

// The reader says where the image is; a registry here would belong to others.
func TestImageIsAPlaceholder(t *testing.T) {
	images := read[*kustomization](t, example+"/kustomization.yaml").Images
	require.Equal(t, []image{{Name: "trivet", NewName: "trivet", NewTag: "VERSION"}}, images)
	for component, pod := range pods(t) {
		require.Equal(t, "trivet:VERSION", pod.Spec.Containers[0].Image, component)
	}
	require.Equal(t, []string{"/trivet", "serve"}, pods(t)["server"].Spec.Containers[0].Command)
	require.Equal(t, []string{"/trivet", "migrate"}, pods(t)["migration"].Spec.Containers[0].Command)
}

// portOf is the number of the container's port of a name.
func portOf(t *testing.T, name string) int32 {
	t.Helper()
	for _, port := range deployment(t).Spec.Template.Spec.Containers[0].Ports {
		if port.Name == name {
			return port.ContainerPort
		}
	}
	require.Failf(t, "no such port", "the container has no port %q", name)
	return 0
}

// The process listens where probes and services look for it, and answers the paths of the probes.
func TestPortsAndProbesMatch(t *testing.T) {
	for name, setting := range map[string]string{"http": "TRIVET_HTTP_ADDR", "ops": "TRIVET_OPS_ADDR"} {
		host, port, err := net.SplitHostPort(literals(t, base)[setting])
		require.NoError(t, err)
		require.Empty(t, host, "%s: on loopback, nobody would reach it", setting)
		require.Equal(t, port, strconv.Itoa(int(portOf(t, name))), setting)
	}
	handler, err := os.ReadFile(root + "/platform/telemetry/ops.go")
	require.NoError(t, err)
	container := deployment(t).Spec.Template.Spec.Containers[0]
	for path, probe := range map[string]*corev1.Probe{"/healthz": container.LivenessProbe, "/readyz": container.ReadinessProbe} {
		require.Equal(t, path, probe.HTTPGet.Path)
		require.Contains(t, string(handler), `"GET `+path+`"`)
	}
	require.Equal(t, "/healthz", container.StartupProbe.HTTPGet.Path, "a database that is away must not restart the pods")
	for _, probe := range []*corev1.Probe{container.StartupProbe, container.ReadinessProbe, container.LivenessProbe} {
		require.Equal(t, "ops", probe.HTTPGet.Port.String())
		require.GreaterOrEqual(t, probe.TimeoutSeconds, int32(2))
	}
	for file, name := range map[string]string{"service.yaml": "http", "service-ops.yaml": "ops"} {
		ports := read[*corev1.Service](t, base+"/"+file).Spec.Ports
		require.Len(t, ports, 1, file)
		require.Equal(t, name, ports[0].TargetPort.String(), file)
	}
	ingress := read[*networkingv1.NetworkPolicy](t, base+"/networkpolicy.yaml").Spec.Ingress
	require.Len(t, ingress, 2)
	for i, name := range []string{"http", "ops"} {
		require.Len(t, ingress[i].From, 1, "an empty list would let everybody in")
		require.Len(t, ingress[i].Ports, 1)
		require.Equal(t, portOf(t, name), ingress[i].Ports[0].Port.IntVal)
	}
}

// Kubernetes accepts a selector that matches nothing or too much: a budget that protects no pod, or a service that sends requests to the migrations.
func TestSelectorsFindThePodsOfTheServer(t *testing.T) {
	d, both := deployment(t), pods(t)
	selectors := map[string]map[string]string{
		"deployment":  d.Spec.Selector.MatchLabels,
		"budget":      read[*policyv1.PodDisruptionBudget](t, base+"/disruptionbudget.yaml").Spec.Selector.MatchLabels,
		"service":     read[*corev1.Service](t, base+"/service.yaml").Spec.Selector,
		"service-ops": read[*corev1.Service](t, base+"/service-ops.yaml").Spec.Selector,
	}
	require.Len(t, d.Spec.Template.Spec.TopologySpreadConstraints, 2)
	for _, spread := range d.Spec.Template.Spec.TopologySpreadConstraints {
		selectors[spread.TopologyKey] = spread.LabelSelector.MatchLabels
	}
	for name, selector := range selectors {
		require.NotEmpty(t, selector, name)
		require.True(t, matches(selector, both["server"]), name)
		require.False(t, matches(selector, both["migration"]), name)
	}
	policy := read[*networkingv1.NetworkPolicy](t, base+"/networkpolicy.yaml").Spec
	require.Equal(t, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}, policy.PolicyTypes)
	for name, pod := range both {
		require.True(t, matches(policy.PodSelector.MatchLabels, pod), name)
	}
	require.Equal(t, "migration", read[metav1.Object](t, base+"/migrate.yaml").GetLabels()["app.kubernetes.io/component"], "docs apply it by this label")
}

func matches(selector map[string]string, pod corev1.PodTemplateSpec) bool {
	for label, value := range selector {
		if pod.Labels[label] != value {
			return false
		}
	}
	return true
}

// A pod that ends gets the time to drain and to finish its streams, and some to write what is left.
func TestPodsMayFinishTheirRequests(t *testing.T) {
	plain := literals(t, base)
	var needed time.Duration
	for _, name := range []string{"TRIVET_DRAIN_DELAY", "TRIVET_SHUTDOWN_TIMEOUT"} {
		wait, err := time.ParseDuration(plain[name])
		require.NoError(t, err)
		require.Positive(t, wait, name)
		needed += wait
	}
	grace := time.Duration(*deployment(t).Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	require.Equal(t, needed+10*time.Second, grace)
}

// What the pods open fits into PostgreSQL's default of 100 connections, 3 of which are reserved, also during an update.
func TestConnectionsFit(t *testing.T) {
	const services, listener, room = 3, 1, 100 - 3
	plain := literals(t, base)
	write, err := strconv.Atoi(plain["DATABASE_WRITE_CONNECTIONS"])
	require.NoError(t, err)
	readers, err := strconv.Atoi(plain["DATABASE_READ_CONNECTIONS"])
	require.NoError(t, err)
	d := deployment(t)
	update := d.Spec.Strategy.RollingUpdate
	require.Equal(t, 0, update.MaxUnavailable.IntValue())
	running := int(*d.Spec.Replicas) + update.MaxSurge.IntValue()
	require.LessOrEqual(t, (write+readers+listener)*services*running, room)
	budget := read[*policyv1.PodDisruptionBudget](t, base+"/disruptionbudget.yaml").Spec.MaxUnavailable.IntValue()
	require.Equal(t, 1, budget)
	require.Greater(t, int(*d.Spec.Replicas), budget)
}

// Go's limit is below the container's, so that the garbage collector acts first.
func TestMemoryLimitIsBelowTheContainers(t *testing.T) {
	container := deployment(t).Spec.Template.Spec.Containers[0]
	at := slices.IndexFunc(container.Env, func(v corev1.EnvVar) bool { return v.Name == "GOMEMLIMIT" })
	require.GreaterOrEqual(t, at, 0)
	number, ok := strings.CutSuffix(container.Env[at].Value, "MiB")
	require.True(t, ok)
	limit, err := strconv.ParseInt(number, 10, 64)
	require.NoError(t, err)
	require.Less(t, limit<<20, container.Resources.Limits.Memory().Value()*9/10)
}
