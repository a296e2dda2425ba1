//! The Kubernetes manifests: complete, consistent with each other and the program, and valid by the
//! published schemas.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser as _;
use serde_yaml::Value;
use token_exporter::cli::Cli;

use crate::golden::assert_golden;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes").join(name)
}

/// Other ways to the tokens, for an overlay's `components`.
const COMPONENTS: [&str; 3] =
    ["components/external-secrets", "components/secrets-store-csi", "components/vault-agent"];

/// The job that sends digests.
const DIGEST: &str = "components/digest";

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn base(name: &str) -> Value {
    read(&folder("base").join(name))
}

/// The texts of a list.
fn texts(value: &Value) -> Vec<&str> {
    value.as_sequence().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn container(set: &Value) -> &Value {
    &set["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn the_rules_are_the_shipped_ones() {
    let rules = std::fs::read_to_string(folder("../../alerts/connections.rules.yml")).expect("the rules");
    let groups = &rules[rules.find("groups:").expect("groups")..];
    let mut resource = String::from(
        "# alerts/connections.rules.yml as a resource of the Prometheus operator; made from it by `make \
         golden`.\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: \
         token-exporter\n  labels: {app.kubernetes.io/name: token-exporter}\nspec:\n",
    );
    for line in groups.lines() {
        resource.push_str(&if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") });
    }
    assert_golden("../deploy/kubernetes/base/prometheusrule.yaml", &resource);
    let spec: Value = serde_yaml::from_str(&rules).expect("YAML");
    assert_eq!(base("prometheusrule.yaml")["spec"]["groups"], spec["groups"]);
}

#[test]
fn every_file_is_named_and_every_named_file_is_there() {
    for name in ["base", "example", DIGEST].into_iter().chain(COMPONENTS) {
        let kustomization = read(&folder(name).join("kustomization.yaml"));
        let mut named: BTreeSet<String> =
            texts(&kustomization["resources"]).into_iter().map(str::to_owned).collect();
        let patches = kustomization["patches"].as_sequence().into_iter().flatten();
        named.extend(patches.filter_map(|p| p["path"].as_str()).map(str::to_owned));
        let generators = kustomization["configMapGenerator"].as_sequence().into_iter().flatten();
        named.extend(generators.flat_map(|g| texts(&g["files"])).map(str::to_owned));
        for file in &named {
            assert!(folder(name).join(file).exists(), "{name} names {file}");
        }
        let files = std::fs::read_dir(folder(name))
            .expect("a folder")
            .map(|f| f.expect("a file").file_name().to_string_lossy().into_owned());
        for file in files.filter(|f| f != "kustomization.yaml") {
            assert!(named.contains(&file), "{name}/kustomization.yaml does not name {file}");
        }
    }
}

#[test]
fn what_it_starts_is_what_the_program_understands() {
    let set = base("statefulset.yaml");
    let patch = read(&folder("example").join("shards.yaml"));
    for set in [&set, &patch] {
        let variables = container(set)["env"].as_sequence().expect("variables");
        let total = variables
            .iter()
            .find(|v| v["name"] == "TOTAL_SHARDS")
            .and_then(|v| v["value"].as_str())
            .expect("TOTAL_SHARDS");
        assert_eq!(
            set["spec"]["replicas"].as_u64().map(|n| n.to_string()).as_deref(),
            Some(total),
            "a pod for each shard"
        );
    }
    let pod = container(&set)["env"]
        .as_sequence()
        .and_then(|v| v.iter().find(|v| v["name"] == "POD_NAME"))
        .expect("POD_NAME");
    assert_eq!(pod["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name");
    let arguments = texts(&container(&set)["args"]).into_iter().map(|a| a.replace("$(TOTAL_SHARDS)", "3"));
    let cli =
        Cli::try_parse_from(["token_exporter".to_owned()].into_iter().chain(arguments)).expect("arguments");
    let share =
        cli.serve.share(|name| (name == "POD_NAME").then(|| "token-exporter-2".to_owned())).expect("a share");
    assert_eq!((share.ordinal(), share.total()), (2, 3));

    let ports = container(&set)["ports"].as_sequence().expect("ports");
    let port = |name: &str| {
        ports.iter().find(|p| p["name"] == name).and_then(|p| p["containerPort"].as_u64()).expect("a port")
    };
    assert_eq!(cli.serve.web.listen_address, [format!(":{}", port("http"))]);
    assert_eq!(cli.serve.health_listen_address, Some(format!(":{}", port("health"))));
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let request = &container(&set)[probe]["httpGet"];
        assert!(
            request["port"] == "health" && (request["path"] == "/-/ready" || request["path"] == "/-/healthy"),
            "{probe}"
        );
    }
    let mounts = container(&set)["volumeMounts"].as_sequence().expect("mounts");
    let mounted =
        |path: &Path| mounts.iter().any(|m| m["mountPath"].as_str().is_some_and(|at| path.starts_with(at)));
    assert!(
        cli.serve.config.files.iter().all(|f| mounted(f))
            && cli.serve.storage_path.0.is_some_and(|f| mounted(&f))
    );

    let configuration = folder("example").join("config.yaml");
    token_exporter::config::load(std::slice::from_ref(&configuration))
        .unwrap_or_else(|problems| panic!("{problems}"));
    let text = std::fs::read_to_string(configuration).expect("the configuration");
    let secrets: Vec<&str> =
        text.lines().filter_map(|l| l.trim().split_once("_file: ")).map(|(_, path)| path).collect();
    assert!(!secrets.is_empty() && secrets.iter().all(|path| mounted(Path::new(path))), "{secrets:?}");
}

#[test]
fn its_parts_find_each_other() {
    let set = base("statefulset.yaml");
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    let service = base("service.yaml");
    assert_eq!(
        (&set["spec"]["serviceName"], &service["spec"]["clusterIP"]),
        (&service["metadata"]["name"], &Value::from("None"))
    );
    for selector in [
        &set["spec"]["selector"]["matchLabels"],
        &service["spec"]["selector"],
        &base("poddisruptionbudget.yaml")["spec"]["selector"]["matchLabels"],
        &base("networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
    assert_eq!(
        set["spec"]["template"]["spec"]["serviceAccountName"],
        base("serviceaccount.yaml")["metadata"]["name"]
    );
    let monitor = base("servicemonitor.yaml");
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"]);
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
    assert!(
        service["metadata"]["labels"].get(monitor["spec"]["jobLabel"].as_str().expect("a label")).is_some()
    );
    let claims = set["spec"]["volumeClaimTemplates"]
        .as_sequence()
        .expect("claims")
        .iter()
        .map(|c| &c["metadata"]["name"]);
    let volumes: Vec<&Value> = set["spec"]["template"]["spec"]["volumes"]
        .as_sequence()
        .expect("volumes")
        .iter()
        .map(|v| &v["name"])
        .chain(claims)
        .collect();
    for mount in container(&set)["volumeMounts"].as_sequence().expect("mounts") {
        assert!(volumes.contains(&&mount["name"]), "{:?}", mount["name"]);
    }
    // The overlay's ConfigMap is the one that the StatefulSet mounts.
    let kustomization = read(&folder("example").join("kustomization.yaml"));
    assert_eq!(
        kustomization["configMapGenerator"][0]["name"],
        set["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]
    );
    assert!(
        container(&set)["image"]
            .as_str()
            .is_some_and(|i| i == format!("token_exporter:{}", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn it_runs_under_the_restricted_standard() {
    let set = base("statefulset.yaml");
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    let own = &container(&set)["securityContext"];
    assert_eq!(
        (&own["allowPrivilegeEscalation"], &own["readOnlyRootFilesystem"]),
        (&Value::from(false), &Value::from(true))
    );
    assert_eq!(texts(&own["capabilities"]["drop"]), ["ALL"]);
    assert!(container(&set)["resources"]["limits"]["memory"].is_string());
    let enforced = &read(&folder("example").join("namespace.yaml"))["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(enforced, "restricted");
}

/// The fields of the operator's resources that are used here, from its API reference.
#[test]
fn the_operators_resources_have_only_documented_fields() {
    fn keys(value: &Value) -> BTreeSet<&str> {
        value.as_mapping().into_iter().flatten().filter_map(|(k, _)| k.as_str()).collect()
    }
    fn within(value: &Value, known: &[&str]) {
        let unknown: Vec<&str> = keys(value).into_iter().filter(|k| !known.contains(k)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
    for name in ["servicemonitor.yaml", "prometheusrule.yaml"] {
        let resource = base(name);
        within(&resource, &["apiVersion", "kind", "metadata", "spec"]);
        assert_eq!(resource["apiVersion"], "monitoring.coreos.com/v1");
    }
    let monitor = &base("servicemonitor.yaml")["spec"];
    within(monitor, &["jobLabel", "selector", "endpoints"]);
    for endpoint in monitor["endpoints"].as_sequence().expect("endpoints") {
        within(endpoint, &["port", "interval", "scrapeTimeout", "relabelings"]);
        for relabeling in endpoint["relabelings"].as_sequence().expect("relabelings") {
            within(relabeling, &["sourceLabels", "targetLabel"]);
        }
    }
    let rules = &base("prometheusrule.yaml")["spec"];
    within(rules, &["groups"]);
    for group in rules["groups"].as_sequence().expect("groups") {
        within(group, &["name", "interval", "rules"]);
        for rule in group["rules"].as_sequence().expect("rules") {
            within(rule, &["record", "alert", "expr", "for", "labels", "annotations"]);
            assert_ne!(rule.get("record").is_some(), rule.get("alert").is_some());
        }
    }
}

fn validate(files: &[PathBuf]) -> String {
    let output = Command::new("kubernetes-validate")
        .arg("--strict")
        .args(files)
        .output()
        .expect("kubernetes-validate (tests/run installs it)");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

/// The fields of other projects' resources that are used here, from their definitions.
#[test]
fn the_components_have_only_documented_fields() {
    fn paths(value: &Value, path: &str, into: &mut BTreeSet<String>) {
        if let Some(mapping) = value.as_mapping() {
            mapping.iter().for_each(|(k, v)| paths(v, &format!("{path}.{}", k.as_str().unwrap()), into));
        } else if let Some(list) = value.as_sequence() {
            list.iter().for_each(|item| paths(item, path, into));
        } else {
            into.insert(path.to_owned());
        }
    }
    let store = ["server", "path", "version", "auth.kubernetes.mountPath", "auth.kubernetes.role"];
    let store = store
        .into_iter()
        .chain(["auth.kubernetes.serviceAccountRef.audiences", "auth.kubernetes.serviceAccountRef.name"]);
    let store: Vec<String> = store.map(|field| format!(".provider.vault.{field}")).collect();
    for (file, version, known) in [
        ("external-secrets/secretstore.yaml", "external-secrets.io/v1", store.join(" ")),
        (
            "external-secrets/externalsecret.yaml",
            "external-secrets.io/v1",
            ".refreshInterval .secretStoreRef.kind .secretStoreRef.name .target.name .dataFrom.extract.key"
                .to_owned(),
        ),
        (
            "secrets-store-csi/secretproviderclass.yaml",
            "secrets-store.csi.x-k8s.io/v1",
            ".provider .parameters.vaultAddress .parameters.roleName .parameters.audience .parameters.objects"
                .to_owned(),
        ),
    ] {
        let resource = read(&folder("components").join(file));
        let mut found = BTreeSet::new();
        paths(&resource["spec"], "", &mut found);
        assert_eq!(resource["apiVersion"], version);
        assert_eq!(found, known.split(' ').map(str::to_owned).collect(), "{file}");
    }
}

#[test]
fn the_components_bring_the_files_that_the_configuration_names() {
    let configuration = std::fs::read_to_string(folder("example").join("config.yaml")).expect("readable");
    let place = "/etc/token_exporter/secrets/";
    let named: BTreeSet<&str> =
        configuration.lines().filter_map(|l| l.split_once("_file: ")?.1.strip_prefix(place)).collect();
    assert!(named.len() > 1);

    let secret = &read(&folder(COMPONENTS[0]).join("externalsecret.yaml"))["spec"]["target"]["name"];
    let volumes = &base("statefulset.yaml")["spec"]["template"]["spec"]["volumes"];
    let volume = volumes.as_sequence().unwrap().iter().find(|v| v["name"] == "secrets").unwrap();
    assert_eq!(&volume["secret"]["secretName"], secret);

    let class = read(&folder(COMPONENTS[1]).join("secretproviderclass.yaml"));
    let objects = class["spec"]["parameters"]["objects"].as_str().unwrap();
    let objects: Value = serde_yaml::from_str(objects).unwrap();
    let objects = objects.as_sequence().unwrap();
    assert_eq!(objects.iter().map(|o| o["objectName"].as_str().unwrap()).collect::<BTreeSet<_>>(), named);
    let set = read(&folder(COMPONENTS[1]).join("statefulset.yaml"));
    let volume = &set["spec"]["template"]["spec"]["volumes"][0];
    assert_eq!((&volume["name"], &volume["secret"]), (&Value::from("secrets"), &Value::Null));
    assert_eq!(volume["csi"]["volumeAttributes"]["secretProviderClass"], class["metadata"]["name"]);

    let set = read(&folder(COMPONENTS[2]).join("statefulset.yaml"));
    let template = &set["spec"]["template"];
    let annotations = template["metadata"]["annotations"].as_mapping().unwrap();
    let annotation = |name: &str| annotations[&format!("vault.hashicorp.com/{name}")].as_str().unwrap();
    for kind in ["secret", "perms", "template"] {
        let start = format!("vault.hashicorp.com/agent-inject-{kind}-");
        let files = annotations.keys().filter_map(|key| key.as_str()?.strip_prefix(&start));
        assert_eq!(files.collect::<BTreeSet<_>>(), named, "{kind}");
    }
    assert_eq!(format!("{}/", annotation("secret-volume-path")), place);
    let volumes = template["spec"]["volumes"].as_sequence().unwrap();
    let token = annotation("agent-service-account-token-volume-name");
    assert!(volumes.iter().any(|v| v["name"] == token && v["projected"]["sources"].is_sequence()));
    let user = &base("statefulset.yaml")["spec"]["template"]["spec"]["securityContext"]["runAsUser"];
    assert_eq!(user.as_u64().unwrap().to_string(), annotation("agent-run-as-user"));
}

#[test]
fn the_job_of_digests_fits_the_exporter() {
    let job = read(&folder(DIGEST).join("cronjob.yaml"));
    assert_eq!(job["spec"]["concurrencyPolicy"], "Forbid");
    assert_eq!(job["spec"]["schedule"], "5 * * * *", "every hour");
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"];
    let (pod, labels) = (&pod["spec"], &pod["metadata"]["labels"]);
    let (set, own) = (base("statefulset.yaml"), &pod["containers"][0]);
    let exporter = &set["spec"]["template"]["spec"];
    for key in ["securityContext", "serviceAccountName", "automountServiceAccountToken"] {
        assert_eq!(pod[key], exporter[key], "{key}");
    }
    assert_eq!(own["securityContext"], container(&set)["securityContext"]);
    assert_eq!(own["image"], container(&set)["image"]);
    let arguments = texts(&own["args"]);
    Cli::try_parse_from(["token_exporter"].into_iter().chain(arguments.iter().copied())).expect("arguments");
    let value =
        |flag: &str| arguments.iter().find_map(|argument| argument.strip_prefix(flag)).expect("a flag");
    let mounts = own["volumeMounts"].as_sequence().expect("mounts");
    let volumes: Vec<&Value> =
        pod["volumes"].as_sequence().expect("volumes").iter().map(|v| &v["name"]).collect();
    assert!(mounts.iter().all(|mount| volumes.contains(&&mount["name"])));
    let mounted = |path: &str, writable: bool| {
        mounts.iter().any(|mount| {
            mount["mountPath"].as_str().is_some_and(|at| Path::new(path).starts_with(at))
                && mount["readOnly"].as_bool().unwrap_or(false) != writable
        })
    };
    assert!(mounted(value("--config.file="), false) && mounted(value("--storage.path="), true));
    assert_eq!(pod["volumes"][0], exporter["volumes"][0], "the same configuration");
    let claim = read(&folder(DIGEST).join("persistentvolumeclaim.yaml"));
    assert_eq!(pod["volumes"][2]["persistentVolumeClaim"]["claimName"], claim["metadata"]["name"]);
    let policies = std::fs::read_to_string(folder(DIGEST).join("networkpolicy.yaml")).expect("readable");
    let policies: Vec<Value> =
        policies.split("---\n").map(|text| serde_yaml::from_str(text).expect("YAML")).collect();
    assert_eq!(&policies[0]["spec"]["podSelector"]["matchLabels"], labels);
    assert_eq!(&policies[1]["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"], labels);
    let exporters = &set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&policies[1]["spec"]["podSelector"]["matchLabels"], exporters);
    assert_eq!(&policies[0]["spec"]["egress"][0]["to"][0]["podSelector"]["matchLabels"], exporters);
}

#[test]
fn the_resources_are_valid_by_the_published_schemas() {
    let kustomization = read(&folder("base").join("kustomization.yaml"));
    let mut files: Vec<PathBuf> =
        texts(&kustomization["resources"]).into_iter().map(|f| folder("base").join(f)).collect();
    files.push(folder("example").join("namespace.yaml"));
    files.push(folder(COMPONENTS[2]).join("networkpolicy.yaml"));
    let digest = read(&folder(DIGEST).join("kustomization.yaml"));
    files.extend(texts(&digest["resources"]).into_iter().map(|f| folder(DIGEST).join(f)));
    let said = validate(&files);
    assert_eq!(
        said.matches(" passed for resource ").count(),
        files.len() - 2 + 1,
        "all but the operator's two, and two policies in one file: {said}"
    );
    // The check itself must be able to fail.
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.yaml");
    let text = std::fs::read_to_string(self::folder("base").join("statefulset.yaml"))
        .expect("readable")
        .replace("replicas:", "replica:");
    std::fs::write(&broken, text).expect("written");
    let output = Command::new("kubernetes-validate")
        .arg("--strict")
        .arg(&broken)
        .output()
        .expect("kubernetes-validate");
    assert!(!output.status.success());
}

/// Debian has no kubectl that knows current kustomizations; the test runs only where one is
/// installed.
#[test]
fn kustomize_renders_the_example() {
    let Ok(output) = Command::new("kubectl").arg("kustomize").arg(folder("example")).output() else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rendered.yaml");
    std::fs::write(&file, &output.stdout).expect("written");
    let said = validate(std::slice::from_ref(&file));
    assert_eq!(said.matches(" passed for resource ").count(), 7, "{said}");
    let text = String::from_utf8(output.stdout).expect("text");
    for expected in [
        "replicas: 3",
        "value: \"3\"",
        "image: registry.example.com/token_exporter:0.1.0",
        "name: token-exporter-config",
        "namespace: token-exporter",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
}

/// As above.
#[test]
fn kustomize_renders_the_components() {
    let overlay = tempfile::tempdir().expect("a folder");
    let overlay = overlay.path().canonicalize().expect("a path");
    let up = "../".repeat(overlay.components().count() - 1);
    let here = |name: &str| format!("{}{}", up, folder(name).display()).replace("//", "/");
    for (component, resources) in COMPONENTS.into_iter().zip([7, 7, 8]) {
        let text = format!(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [\"{}\"]\n\
             components: [\"{}\"]\n",
            here("example"),
            here(component)
        );
        std::fs::write(overlay.join("kustomization.yaml"), text).expect("written");
        let Ok(output) = Command::new("kubectl").arg("kustomize").arg(&overlay).output() else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file = overlay.join("rendered.yaml");
        std::fs::write(&file, &output.stdout).expect("written");
        let said = validate(std::slice::from_ref(&file));
        assert_eq!(said.matches(" passed for resource ").count(), resources, "{said}");
        let text = String::from_utf8(output.stdout).expect("text");
        let from_secret = text.contains("secretName: token-exporter-secrets");
        assert_eq!(from_secret, component == COMPONENTS[0], "{component}");
        let mounted = text.contains("mountPath: /etc/token_exporter/secrets");
        assert_eq!(mounted, component != COMPONENTS[2], "the agent's injector mounts its own");
    }
}
