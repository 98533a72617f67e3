// Creates a Task in the simulator and accepts its Reservation, without any library.
// Run: java AcceptTask.java

import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.regex.Pattern;

public class AcceptTask {
    static final String URL =
        System.getenv().getOrDefault("SIMULATOR_URL", "http://127.0.0.1:8002");
    static final HttpClient HTTP = HttpClient.newHttpClient();
    static String authorization = "";

    public static void main(String[] arguments) throws Exception {
        String simulator = send("GET", "/simulator", "");
        String key = find(simulator, "api_key_sid") + ":" + find(simulator, "api_key_secret");
        authorization = "Basic " + Base64.getEncoder().encodeToString(key.getBytes());
        String workspace = "/v1/Workspaces/" + find(simulator, "workspace_sid");

        String worker = workspace + "/Workers/" + find(simulator, "Alice");
        send("POST", worker, "ActivitySid=" + find(simulator, "Idle"));
        String attributes = "{\"selected_language\": \"es\"}";
        String encoded = URLEncoder.encode(attributes, StandardCharsets.UTF_8);
        String created = send("POST", workspace + "/Tasks", "Attributes=" + encoded);
        String task = workspace + "/Tasks/" + find(created, "sid");
        send("POST", "/simulator/clock", "{\"advance\": 0}"); // wait for callbacks

        String reservations = send("GET", task + "/Reservations", "");
        String reservation = task + "/Reservations/" + find(reservations, "sid");
        send("POST", reservation, "ReservationStatus=accepted");
        System.out.println(find(send("GET", task, ""), "assignment_status"));
    }

    static String send(String method, String path, String body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(URL + path))
            .method(method, BodyPublishers.ofString(body))
            .header("Authorization", authorization)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .build();
        var response = HTTP.send(request, BodyHandlers.ofString());
        if (response.statusCode() >= 400) {
            throw new IllegalStateException(response.statusCode() + " " + response.body());
        }
        return response.body();
    }

    /** Returns the first string value with this name; a real program would use a JSON library. */
    static String find(String json, String name) {
        var matcher = Pattern.compile("\"" + name + "\": ?\"([^\"]*)\"").matcher(json);
        if (!matcher.find()) {
            throw new IllegalStateException(name + " is missing in " + json);
        }
        return matcher.group(1);
    }
}
