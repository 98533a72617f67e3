# Creates a Task in the simulator and accepts its Reservation, without any library.
# Run: ruby accept_task.rb
require "json"
require "net/http"

URL = ENV.fetch("SIMULATOR_URL", "http://127.0.0.1:8002")

def send_request(request, key = nil)
  request.basic_auth(*key) if key
  uri = URI(URL)
  response = Net::HTTP.start(uri.host, uri.port) { |http| http.request(request) }
  raise "#{response.code} #{response.body}" if response.code.to_i >= 400

  JSON.parse(response.body)
end

simulator = send_request(Net::HTTP::Get.new("/simulator"))
key = simulator.values_at("api_key_sid", "api_key_secret")
workspace = "/v1/Workspaces/#{simulator["workspace_sid"]}"

get = ->(path) { send_request(Net::HTTP::Get.new(path), key) }
post = lambda do |path, form|
  request = Net::HTTP::Post.new(path)
  request.set_form_data(form)
  send_request(request, key)
end

alice, idle = simulator["workers"]["Alice"], simulator["activities"]["Idle"]
post.call("#{workspace}/Workers/#{alice}", "ActivitySid" => idle)
created = post.call("#{workspace}/Tasks", "Attributes" => '{"selected_language": "es"}')
task = "#{workspace}/Tasks/#{created["sid"]}"
advance = Net::HTTP::Post.new("/simulator/clock")
advance.body = '{"advance": 0}' # wait for callbacks
send_request(advance)

reservation = get.call("#{task}/Reservations")["reservations"].first["sid"]
post.call("#{task}/Reservations/#{reservation}", "ReservationStatus" => "accepted")
puts get.call(task)["assignment_status"]
