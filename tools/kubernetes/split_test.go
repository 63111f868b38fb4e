package kubernetes_test

import (
	"net"
	"os"
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
)

// splitSecrets are the secrets of each process of split mode.
var splitSecrets = map[string][]string{
	"auth": {
		"CLERK_SECRET_KEY", "CLERK_WEBHOOK_SECRET", "DATABASE_URL", "TRIVET_API_KEY_SECRET", "TRIVET_INTERNAL_SECRET", "TRIVET_PASSPORT_KEY",
		"TRIVET_PASSPORT_PUBLIC_KEYS",
	},
	"ai":      {"DATABASE_URL", "OPENAI_API_KEY", "REDIS_URL", "TRIVET_INTERNAL_SECRET", "TRIVET_PASSPORT_PUBLIC_KEYS"},
	"billing": {"DATABASE_URL", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "TRIVET_INTERNAL_SECRET", "TRIVET_PASSPORT_PUBLIC_KEYS"},
	"gateway": {"TRIVET_INTERNAL_SECRET", "TRIVET_PASSPORT_PUBLIC_KEYS"},
}

func splitDeployment(t *testing.T, service string) *appsv1.Deployment {
	t.Helper()
	return read[*appsv1.Deployment](t, split+"/deployment-"+service+".yaml")
}

// splitPods are the pod templates of split mode: of each service, and of the migrations of those that have a database.
func splitPods(t *testing.T) map[string]corev1.PodTemplateSpec {
	t.Helper()
	all := map[string]corev1.PodTemplateSpec{}
	for service := range splitSecrets {
		all[service] = splitDeployment(t, service).Spec.Template
		if service != "gateway" {
			all["migration of "+service] = read[*batchv1.Job](t, split+"/migrate-"+service+".yaml").Spec.Template
		}
	}
	return all
}

// Except for the identity of each service, its pods are those of the base, whose tests hold for them too.
func TestPodsOfSplitModeAreLikeThoseOfTheBase(t *testing.T) {
	dockerfile, err := os.ReadFile(root + "/Dockerfile")
	require.NoError(t, err)
	for name, pod := range splitPods(t) {
		component, migrates := strings.CutPrefix(name, "migration of ")
		like, command := "server", []string{"/" + component}
		if migrates {
			like, command = "migration", append(command, "migrate")
		}
		require.Equal(t, command, pod.Spec.Containers[0].Command, name)
		require.Contains(t, string(dockerfile), "/out"+command[0], name)
		template := pods(t)[like]
		want := template.Spec.DeepCopy()
		got := pod.Spec.DeepCopy()
		for _, spec := range []*corev1.PodSpec{want, got} {
			container := &spec.Containers[0]
			container.Name, container.Command, container.Ports, container.Env, container.Resources = "", nil, nil, nil, corev1.ResourceRequirements{}
			spec.Volumes, spec.TopologySpreadConstraints = nil, nil
		}
		require.Equal(t, want, got, name)
	}
}

// Each process gets its own secrets and no other one, as files that exist as settings.
func TestSecretsOfSplitModeAreFiles(t *testing.T) {
	known := settings(t)
	for name, pod := range splitPods(t) {
		want := splitSecrets[name]
		if strings.HasPrefix(name, "migration") {
			want = []string{"DATABASE_URL"}
		}
		files := secretFiles(pod)
		require.Equal(t, want, keys(files), name)
		volume := pod.Spec.Volumes[0].Secret
		require.Equal(t, "trivet", volume.SecretName)
		require.Equal(t, int32(0o440), *volume.DefaultMode)
		var items []string
		for _, item := range volume.Items {
			require.Equal(t, item.Key, item.Path)
			items = append(items, item.Key)
		}
		require.ElementsMatch(t, want, items, name)
		for setting, path := range files {
			require.Contains(t, known, setting)
			require.True(t, isSecret(known[setting]) || setting == "TRIVET_PASSPORT_PUBLIC_KEYS", "%s: %s", name, setting)
			require.Equal(t, pod.Spec.Containers[0].VolumeMounts[0].MountPath+"/"+setting, path)
		}
	}
	plain := literals(t, split)
	for setting := range plain {
		require.Contains(t, known, setting)
		require.False(t, isSecret(known[setting]), setting)
	}
	for setting, value := range literals(t, base) {
		require.Equal(t, value, plain[setting], setting)
	}
}

// Callers find the pods of a service by a headless service, at the port that its processes listen on.
func TestServicesOfSplitModeFindTheirPods(t *testing.T) {
	plain, all := literals(t, split), splitPods(t)
	_, grpc, err := net.SplitHostPort(plain["TRIVET_GRPC_ADDR"])
	require.NoError(t, err)
	for service := range splitSecrets {
		d := splitDeployment(t, service)
		file, port, number := service, "grpc", grpc
		if service == "gateway" {
			port, number = "http", strings.TrimPrefix(plain["TRIVET_HTTP_ADDR"], ":")
		}
		found := read[*corev1.Service](t, split+"/service-"+file+".yaml")
		require.Len(t, found.Spec.Ports, 1)
		require.Equal(t, port, found.Spec.Ports[0].TargetPort.String(), service)
		ports := d.Spec.Template.Spec.Containers[0].Ports
		require.Len(t, ports, 2)
		require.Equal(t, port+" "+number, ports[0].Name+" "+strconv.Itoa(int(ports[0].ContainerPort)), service)
		require.Equal(t, "ops "+strings.TrimPrefix(plain["TRIVET_OPS_ADDR"], ":"), ports[1].Name+" "+strconv.Itoa(int(ports[1].ContainerPort)), service)
		if service != "gateway" {
			require.Equal(t, corev1.ClusterIPNone, found.Spec.ClusterIP, "%s: a virtual address would bind a caller to one pod", service)
			require.False(t, found.Spec.PublishNotReadyAddresses)
			require.Equal(t, found.Name+":"+strconv.Itoa(int(found.Spec.Ports[0].Port)), plain["TRIVET_"+strings.ToUpper(service)+"_ADDR"])
		}
		budget := read[*policyv1.PodDisruptionBudget](t, split+"/disruptionbudget-"+service+".yaml").Spec
		require.Equal(t, 1, budget.MaxUnavailable.IntValue())
		selectors := []map[string]string{
			d.Spec.Selector.MatchLabels, budget.Selector.MatchLabels, found.Spec.Selector, read[*corev1.Service](t, split+"/service-ops-"+service+".yaml").Spec.Selector,
		}
		for _, spread := range d.Spec.Template.Spec.TopologySpreadConstraints {
			selectors = append(selectors, spread.LabelSelector.MatchLabels)
		}
		require.Len(t, selectors, 6)
		for _, selector := range selectors {
			for name, pod := range all {
				require.Equal(t, name == service, matches(selector, pod), "%v and %s", selector, name)
			}
		}
	}
}

// Only the edge is reached from outside, and only Trivet's pods reach gRPC.
func TestNetworkOfSplitModeIsClosed(t *testing.T) {
	inner := read[*networkingv1.NetworkPolicy](t, split+"/networkpolicy.yaml").Spec
	outer := read[*networkingv1.NetworkPolicy](t, split+"/networkpolicy-gateway.yaml").Spec
	for name, pod := range splitPods(t) {
		require.True(t, matches(inner.PodSelector.MatchLabels, pod), name)
		require.Equal(t, name == "gateway", matches(outer.PodSelector.MatchLabels, pod), name)
	}
	require.Equal(t, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}, inner.PolicyTypes)
	require.Len(t, inner.Ingress, 2)
	require.Len(t, inner.Ingress[0].Ports, 1)
	require.Len(t, inner.Ingress[0].From, 1, "nobody else may reach gRPC")
	require.Equal(t, int32(9090), inner.Ingress[0].Ports[0].Port.IntVal)
	require.Nil(t, inner.Ingress[0].From[0].NamespaceSelector, "pods of this namespace only")
	require.Equal(t, map[string]string{"app.kubernetes.io/name": "trivet"}, inner.Ingress[0].From[0].PodSelector.MatchLabels)
	require.Len(t, inner.Ingress[1].Ports, 1)
	require.Equal(t, int32(9091), inner.Ingress[1].Ports[0].Port.IntVal)
	require.Len(t, outer.Ingress, 1)
	require.Len(t, outer.Ingress[0].Ports, 1)
	require.Equal(t, int32(8080), outer.Ingress[0].Ports[0].Port.IntVal)
	require.Equal(t, int32(9090), inner.Egress[0].Ports[0].Port.IntVal)
	require.Equal(t, read[*networkingv1.NetworkPolicy](t, base+"/networkpolicy.yaml").Spec.Egress, inner.Egress[1:])
}

// The pods of split mode get the time and the connections that they need, also during an update of all services.
func TestLimitsOfSplitModeFit(t *testing.T) {
	plain := literals(t, split)
	number := func(name string) int {
		n, err := strconv.Atoi(plain[name])
		require.NoError(t, err)
		return n
	}
	connections := 0
	for service := range splitSecrets {
		d := splitDeployment(t, service)
		var needed time.Duration
		for _, name := range []string{"TRIVET_DRAIN_DELAY", "TRIVET_SHUTDOWN_TIMEOUT"} {
			wait, err := time.ParseDuration(plain[name])
			require.NoError(t, err)
			needed += wait
		}
		require.Equal(t, needed+10*time.Second, time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds)*time.Second)
		require.Equal(t, 0, d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue())
		require.Greater(t, int(*d.Spec.Replicas), 1)
		if service != "gateway" {
			pods := int(*d.Spec.Replicas) + d.Spec.Strategy.RollingUpdate.MaxSurge.IntValue()
			connections += pods * (number("DATABASE_WRITE_CONNECTIONS") + number("DATABASE_READ_CONNECTIONS") + 1)
		}
	}
	require.LessOrEqual(t, connections, 100-3)
}
