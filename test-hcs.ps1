<#
.SYNOPSIS
Proves the library on the HCS of this Windows host, step by step.

.DESCRIPTION
Needs Windows Server 2016 or later, or Windows 10 or 11, with the Containers
feature, a Docker engine for Windows containers, Go, and an administrator's
PowerShell.

Touches: pulls one or two images of about 0.1 GB and leaves them; creates
containers, each with a scratch that is removed; imports an image into
build\hcs\store and removes it; writes to build\hcs. It ends no compute system of
others.

.PARAMETER Step
  image   starts Docker, and finds a nanoserver that Docker runs on this host
  doctor  hcsrun's verdict on the host
  hcsrun  runs containers with hcsrun, from Docker's folders and from a tar
  test    the conformance suite, the client's tests, and the cycles
  probes  questions that only a real host answers; the answers go to build\hcs
  clean   fails if a compute system or a layer is left, and ends it
  all     all of these, in this order, and the rest of the module's tests

.PARAMETER Cycles
How many containers "test" takes through their lives, one after the other.

.EXAMPLE
powershell -ExecutionPolicy Bypass -File test-hcs.ps1
#>
[CmdletBinding()]
param(
    [ValidateSet('all', 'image', 'doctor', 'hcsrun', 'test', 'probes', 'clean')]
    [string] $Step = 'all',

    [ValidateRange(1, 1000000)]
    [int] $Cycles = 100
)

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot

$out = Join-Path $PSScriptRoot 'build\hcs'
$imageFile = Join-Path $out 'image.txt'
$hcsrun = Join-Path $out 'hcsrun.exe'
$store = Join-Path $out 'store'
$owners = 'hcsrun', 'libcontainerd-endtoend'

# Invoke-Program runs a program and fails if that fails. Go and docker write what
# they do to stderr, which must not be redirected: PowerShell 5 takes it for errors.
function Invoke-Program([string] $Program) {
    Write-Host "> $Program $args"
    & $Program @args
    if ($LASTEXITCODE -ne 0) {
        throw "$Program $args ended with code $LASTEXITCODE"
    }
}

# Test-Program reports whether a program ends with 0.
function Test-Program([string] $Program) {
    Write-Host "> $Program $args"
    & $Program @args | Out-Host
    return $LASTEXITCODE -eq 0
}

function Start-Docker {
    for ($try = 1; $try -le 30; $try++) {
        if (Test-Program docker version) {
            return
        }
        Start-Service docker -ErrorAction SilentlyContinue
        Start-Sleep -Seconds 10
    }
    throw 'Docker does not answer within five minutes'
}

# Get-Candidate names the images that may run on this build, the newest first.
function Get-Candidate {
    $build = [Environment]::OSVersion.Version.Build
    $tags = @()
    if ($build -ge 26100) { $tags += 'ltsc2025' }
    if ($build -ge 20348) { $tags += 'ltsc2022' }
    if ($build -eq 17763) { $tags += '1809' }
    if ($build -eq 14393) { $tags += 'sac2016' }
    if ($tags.Count -eq 0) {
        throw "no image of nanoserver is known for build $build"
    }
    return $tags | ForEach-Object { "mcr.microsoft.com/windows/nanoserver:$_" }
}

function Step-Image {
    Start-Docker
    foreach ($candidate in Get-Candidate) {
        # What Docker runs is the control: if we fail then, the host is not to blame.
        if ((Test-Program docker pull $candidate) -and
            (Test-Program docker run --rm --isolation=process $candidate cmd /c ver)) {
            Set-Content -Path $imageFile -Value $candidate -Encoding Ascii
            Write-Host "the image is $candidate"
            return
        }
    }
    throw 'Docker runs none of the images on this host'
}

function Get-Image {
    if (-not (Test-Path $imageFile)) {
        throw 'run the step "image" first'
    }
    return (Get-Content $imageFile | Select-Object -First 1)
}

# Get-LayerFolder is where Docker has the topmost layer of the image.
function Get-LayerFolder {
    $folder = docker image inspect -f '{{.GraphDriver.Data.dir}}' (Get-Image)
    if ($LASTEXITCODE -ne 0 -or -not $folder) {
        throw 'Docker does not tell the folder of the image: is its graph driver windowsfilter?'
    }
    return $folder
}

function Step-Doctor {
    Invoke-Program $hcsrun --version
    & $hcsrun doctor --json | Out-File -Encoding ascii (Join-Path $out 'doctor.json')
    Invoke-Program $hcsrun doctor
}

# Test-Container runs two containers of an image and looks at what they say.
function Test-Container([string] $Image) {
    Write-Host "> hcsrun run --image $Image"
    $said = & $hcsrun run --store $store --image $Image cmd /c 'echo hello'
    if ($LASTEXITCODE -ne 0 -or "$said".Trim() -ne 'hello') {
        throw "the container said '$said' and hcsrun ended with code $LASTEXITCODE"
    }
    & $hcsrun run --store $store --image $Image cmd /c 'exit 7'
    if ($LASTEXITCODE -ne 7) {
        throw "the container's exit code became $LASTEXITCODE, want 7"
    }
}

function Step-Hcsrun {
    Test-Container (Get-LayerFolder)
    $tar = Join-Path $out 'image.tar'
    $image = Get-Image
    Invoke-Program docker save -o $tar $image
    try {
        Test-Container $tar
        Test-Container $image # which is in the store by now
    } finally {
        Remove-Item $tar
    }
    Invoke-Program $hcsrun image rm --store $store $image
}

# Invoke-EndToEnd runs the end-to-end tests on this host's HCS.
function Invoke-EndToEnd([string] $Run, [string] $Probes) {
    $env:LIBCONTAINERD_HCS = '1'
    $env:LIBCONTAINERD_HCS_LAYERS = Get-LayerFolder
    $env:LIBCONTAINERD_CYCLES = "$Cycles"
    $env:LIBCONTAINERD_PROBES = $Probes
    try {
        $minutes = 15 + [int] ($Cycles / 20)
        Invoke-Program go test -count=1 -timeout "${minutes}m" -v -run $Run ./internal/endtoend
    } finally {
        Remove-Item Env:\LIBCONTAINERD_HCS, Env:\LIBCONTAINERD_HCS_LAYERS, Env:\LIBCONTAINERD_CYCLES
        Remove-Item Env:\LIBCONTAINERD_PROBES -ErrorAction SilentlyContinue
    }
}

function Step-Test { Invoke-EndToEnd -Run . -Probes '' }

function Step-Probes { Invoke-EndToEnd -Run '^TestProbe' -Probes $out }

# Step-Clean ends what is left, and fails if there was anything.
function Step-Clean {
    Invoke-Program $hcsrun ps
    $systems = & $hcsrun ps --json | Out-String | ConvertFrom-Json
    $left = @($systems | Where-Object { $_ -and ($owners -contains $_.Owner -or $_.ID -like 'hcstest-*') })
    foreach ($owner in $owners) {
        Invoke-Program $hcsrun reconcile --yes $owner
    }
    Invoke-Program $hcsrun layer ls --store $store
    $mounts = & $hcsrun layer ls --json --store $store | Out-String | ConvertFrom-Json
    $left += @($mounts | Where-Object { $_ })
    if ($left.Count -gt 0) {
        throw "left over: $($left | ConvertTo-Json)"
    }
}

New-Item -ItemType Directory -Force -Path $out | Out-Null
if (-not (Test-Path $hcsrun) -or $Step -eq 'all') {
    Invoke-Program go build -o $hcsrun ./cmd/hcsrun
}
switch ($Step) {
    'image' { Step-Image }
    'doctor' { Step-Doctor }
    'hcsrun' { Step-Hcsrun }
    'test' { Step-Test }
    'probes' { Step-Probes }
    'clean' { Step-Clean }
    'all' {
        Step-Image
        try {
            Step-Doctor
            Step-Hcsrun
            Step-Test
            Invoke-Program go test ./...
            Step-Probes
        } finally {
            Step-Clean
        }
    }
}
