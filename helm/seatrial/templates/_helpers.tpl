{{/* Name of the chart, for labels. */}}
{{- define "seatrial.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* First part of the name of everything this release makes; 50 characters leave room for a suffix. */}}
{{- define "seatrial.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "seatrial.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "seatrial.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Name of the operator's objects. */}}
{{- define "seatrial.operator" -}}
{{ include "seatrial.fullname" . }}-operator
{{- end }}

{{- define "seatrial.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "seatrial.operator" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "seatrial.selectorLabels" -}}
app.kubernetes.io/name: {{ include "seatrial.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "seatrial.labels" -}}
{{ include "seatrial.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image by repository and tag (or digest); the tag defaults to the chart's appVersion. */}}
{{- define "seatrial.image" -}}
{{- $tag := default .root.Chart.AppVersion .image.tag -}}
{{- if hasPrefix "sha256:" $tag -}}
{{ .image.repository }}@{{ $tag }}
{{- else -}}
{{ .image.repository }}:{{ $tag }}
{{- end }}
{{- end }}

{{/* Head of a ClusterRole of conductors, for some kinds of faults or steps. */}}
{{- define "seatrial.conductorRole" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: seatrial-conductor-{{ .name }}
  labels:
    {{- include "seatrial.labels" .root | nindent 4 }}
{{- end }}
