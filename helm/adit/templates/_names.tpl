{{- define "adit.image" -}}
{{ .Values.hub }}/{{ .Values.image }}:{{ .Values.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* What a revision other than the default adds to names. */ -}}
{{- define "adit.suffix" -}}
{{- if ne .Values.revision "default" }}-{{ .Values.revision }}{{ end }}
{{- end }}

{{- define "adit.controller" -}}adit-controller{{ include "adit.suffix" . }}{{- end }}

{{- define "adit.rateLimiter" -}}adit-rate-limiter{{ include "adit.suffix" . }}{{- end }}

{{- define "adit.webhook" -}}adit-validator{{ include "adit.suffix" . }}-{{ .Release.Namespace }}{{- end }}

{{- define "adit.address" -}}https://{{ include "adit.controller" . }}.{{ .Release.Namespace }}.svc:15012{{- end }}

{{- define "adit.labels" -}}
app.kubernetes.io/part-of: adit
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
istio.io/rev: {{ .Values.revision }}
{{- end }}

{{- /* Environment variables from a map. */ -}}
{{- define "adit.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- /* A variable from the pod's own fields: (list NAME PATH). */ -}}
{{- define "adit.field" -}}
- name: {{ index . 0 }}
  valueFrom: { fieldRef: { fieldPath: {{ index . 1 }} } }
{{- end }}

{{- define "adit.logging" -}}
- name: RUST_LOG
  value: {{ .level | quote }}
{{- if .json }}
- name: LOG_FORMAT
  value: json
{{- else }}
- name: LOG_FORMAT
  value: plain
{{- end }}
{{- end }}

{{- /* Where in the mesh this cluster is. */ -}}
{{- define "adit.place" -}}
- name: TRUST_DOMAIN
  value: {{ .Values.meshConfig.trustDomain | quote }}
- name: CLUSTER_ID
  value: {{ .Values.global.multiCluster.clusterName | quote }}
- name: CLUSTER_DOMAIN
  value: {{ .Values.global.proxy.clusterDomain | quote }}
{{- with .Values.global.network }}
- name: NETWORK
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{- /* Where pods may run: the four fields of a pod's spec, from a part of the values. */ -}}
{{- define "adit.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "adit.pull" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The token for the controller, and the root that vouches for it. */ -}}
{{- define "adit.credentials" -}}
- name: istio-token
  projected:
    sources:
      - serviceAccountToken: { audience: istio-ca, expirationSeconds: 43200, path: istio-token }
- name: istiod-ca-cert
  configMap: { name: istio-ca-root-cert }
{{- end }}
