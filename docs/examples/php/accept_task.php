<?php
// Creates a Task in the simulator and accepts its Reservation, without any library.
// Run: php accept_task.php

$url = getenv('SIMULATOR_URL') ?: 'http://127.0.0.1:8002';
$headers = [];

function send(string $method, string $path, string $body = ''): array
{
    global $url, $headers;
    $options = ['method' => $method, 'header' => $headers, 'content' => $body];
    $response = file_get_contents($url . $path, false, stream_context_create(['http' => $options]));
    if ($response === false) {
        exit(1);
    }
    return json_decode($response, true);
}

$simulator = send('GET', '/simulator');
$key = base64_encode("{$simulator['api_key_sid']}:{$simulator['api_key_secret']}");
$headers = ["Authorization: Basic $key", 'Content-Type: application/x-www-form-urlencoded'];
$workspace = "/v1/Workspaces/{$simulator['workspace_sid']}";

$activity = http_build_query(['ActivitySid' => $simulator['activities']['Idle']]);
send('POST', "$workspace/Workers/{$simulator['workers']['Alice']}", $activity);
$attributes = http_build_query(['Attributes' => '{"selected_language": "es"}']);
$task = "$workspace/Tasks/" . send('POST', "$workspace/Tasks", $attributes)['sid'];
send('POST', '/simulator/clock', '{"advance": 0}'); // wait for callbacks

$reservation = send('GET', "$task/Reservations")['reservations'][0]['sid'];
send('POST', "$task/Reservations/$reservation", 'ReservationStatus=accepted');
echo send('GET', $task)['assignment_status'], "\n";
